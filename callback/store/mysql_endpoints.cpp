// What the MySQL store knows of registered endpoints.
#include <algorithm>
#include <set>
#include <string>
#include <string_view>

#include "callback/store/mysql_delivery_store.h"
#include "callback/store/mysql_rows.h"
#include "common/store/webhook_events.h"

namespace sluice::callback {

namespace {

constexpr int kGone = 410;
constexpr int kPassedOverMax = 5'000;  // By one claim, so that what is alive never waits long.

// Longer than any wait of the schedule: who was not tried for so long has not been failing all the time.
constexpr std::chrono::seconds kQuiet = std::chrono::hours(48);

using Ids = std::vector<std::string_view>;

// Whether a failure says something of the receiver: what we could not send does not.
bool is_judged(AttemptFailure failure) {
  return failure != AttemptFailure::kUnsendable && failure != AttemptFailure::kNoSecret &&
         failure != AttemptFailure::kRefused;
}

// Disables those of `ids` that are still where `endpoints` says, and for which `condition` holds.
Status disable(MysqlConnection& db, const Ids& ids, const store::Endpoints& endpoints, const char* reason,
               Sql condition, IdMaker& maker, Deadline deadline) {
  Sql which("SELECT id, url FROM webhook_endpoint WHERE id IN ");
  SLUICE_ASSIGN(std::string where, condition.statement());
  which.list(ids).text(" AND state = 'enabled' AND ").text(where).text(" ORDER BY id FOR UPDATE");
  SLUICE_ASSIGN(const Rows rows, db.query(which, deadline));
  Ids found;
  for (const Row row : rows) {
    if (const auto at = endpoints.find(row.text(0)); at != endpoints.end() && at->second.url == row.text(1)) {
      found.push_back(row.text(0));
    }
  }
  if (found.empty()) return {};
  Sql sql(
      "UPDATE webhook_endpoint SET state = 'disabled', disabled_reason = ?, disabled_at = UTC_TIMESTAMP(6) "
      "WHERE id IN ");
  SLUICE_TRY(db.execute(sql.bind(reason).list(found), deadline));
  return post_endpoints_disabled(db, maker, found, deadline);
}

}  // namespace

bool store::is_registered(std::string_view endpoint) {
  return endpoint.starts_with(WebhookEndpointIdTag::kPrefix);
}

Result<std::vector<Subscriber>> MysqlDeliveryStore::subscribers(std::span<const TenantId> tenants,
                                                                Deadline deadline) {
  std::vector<Subscriber> found;
  if (tenants.empty()) return found;
  std::vector<std::string_view> values;
  for (const TenantId& tenant : tenants) values.push_back(tenant.value);
  Sql sql(
      "SELECT id, tenant_id, url, events FROM webhook_endpoint WHERE state = 'enabled' AND tenant_id IN ");
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql.list(values), deadline));
  for (const Row row : rows) {
    found.push_back({WebhookEndpointId{row.str(0)}, TenantId{row.str(1)}, row.str(2), row.str(3)});
  }
  return found;
}

Result<store::Endpoints> store::read_endpoints(MysqlConnection& db, const std::set<std::string_view>& ids,
                                               Deadline deadline) {
  Endpoints endpoints;
  if (ids.empty()) return endpoints;
  Sql sql(
      "SELECT id, url, state = 'enabled', failing_since IS NOT NULL, ordered FROM webhook_endpoint WHERE id "
      "IN ");
  SLUICE_ASSIGN(const Rows rows, db.query(sql.list(ids), deadline));
  for (const Row row : rows) {
    endpoints.emplace(row.str(0),
                      Endpoint{row.str(1), row.int64(2) != 0, row.int64(3) != 0, row.int64(4) != 0});
  }
  return endpoints;
}

Status store::pass_over(MysqlPool& pool, std::span<const std::string_view> endpoints, Deadline deadline) {
  int budget = kPassedOverMax;
  for (const std::string_view endpoint : endpoints) {
    if (budget == 0) break;  // The next claim goes on.
    const auto over = pool.transaction(deadline, [&](MysqlConnection& db) -> Result<int> {
      // Who enables it waits until this is committed, and what is replayed then is not failed by us; what
      // waits behind these is looked at again then, too.
      Sql now("SELECT 1 FROM webhook_endpoint WHERE id = ? AND state = 'enabled' LOCK IN SHARE MODE");
      SLUICE_ASSIGN(const Rows enabled, db.query(now.bind(endpoint), deadline));
      if (!enabled.empty()) return 0;
      Sql sql(
          "UPDATE delivery SET state = 'failed', attempt_due = NULL, finished_at = UTC_TIMESTAMP(6), "
          "last_error = 'the endpoint is disabled or gone' WHERE endpoint = ? AND attempt_due <= "
          "UTC_TIMESTAMP(6) LIMIT ?");
      SLUICE_ASSIGN(const auto failed, db.execute(sql.bind(endpoint).bind(budget), deadline));
      return static_cast<int>(failed);
    });
    if (!over) return fail(over.error());
    budget -= *over;
  }
  return {};
}

Status store::judge_endpoints(MysqlConnection& db, std::span<const AttemptRecord* const> records,
                              const Endpoints& endpoints, IdMaker& ids,
                              std::chrono::milliseconds disable_after, Deadline deadline) {
  // Sorted sets: rows are locked in one order.
  std::set<std::string_view> good;
  std::set<std::string_view> bad;
  std::set<std::string_view> gone;
  for (const AttemptRecord* record : records) {
    const std::string_view id = record->endpoint_id.value;
    const auto now = endpoints.find(id);
    if (now == endpoints.end() || !now->second.enabled || now->second.url != record->url) continue;
    if (record->verdict.kind == Verdict::Kind::kDelivered) {
      good.insert(id);
    } else if (record->report.status == kGone && record->report.failure == AttemptFailure::kNone) {
      gone.insert(id);
    } else if (is_judged(record->report.failure)) {
      bad.insert(id);
    }
  }
  for (const std::string_view id : good) bad.erase(id);
  // Almost none has failed, and a row that is written waits for those who decide about its endpoint.
  std::erase_if(good, [&](std::string_view id) { return !endpoints.find(id)->second.failing; });
  if (!good.empty()) {
    Sql sql("UPDATE webhook_endpoint SET failing_since = NULL WHERE id IN ");
    SLUICE_TRY(db.execute(sql.list(good), deadline));
  }
  if (!bad.empty()) {
    Sql sql(
        "UPDATE webhook_endpoint SET failing_since = IF(failing_since IS NULL OR failed_at IS NULL OR "
        "failed_at "
        "< UTC_TIMESTAMP(6) - INTERVAL ? SECOND, UTC_TIMESTAMP(6), failing_since), failed_at = "
        "UTC_TIMESTAMP(6) WHERE id IN ");
    SLUICE_TRY(db.execute(sql.bind(kQuiet.count()).list(bad), deadline));
    Sql long_enough("failing_since <= UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND");
    SLUICE_TRY(disable(db, Ids(bad.begin(), bad.end()), endpoints, "failing",
                       long_enough.bind(micros(disable_after)), ids, deadline));
  }
  if (gone.empty()) return {};
  return disable(db, Ids(gone.begin(), gone.end()), endpoints, "gone", Sql("1 = 1"), ids, deadline);
}

}  // namespace sluice::callback
