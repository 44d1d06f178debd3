#include "common/store/webhook_delivery_log.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include <algorithm>

#include "common/store/job_rows.h"

namespace sluice {

namespace {

constexpr int kReplayRows = 1'000;  // In one transaction, so that senders never wait long for their rows.

constexpr const char* kSelect =
    "SELECT id, event_id, endpoint_id, job_id, url, state, attempts, last_status, last_error, " SLUICE_MICROS(
        "created_at") ", " SLUICE_MICROS("attempt_due") ", " SLUICE_MICROS("finished_at") " FROM delivery ";

constexpr const char* kReplay =
    "UPDATE delivery SET state = 'pending', attempt_due = UTC_TIMESTAMP(6), finished_at = NULL, "
    "attempts_base = attempts WHERE id IN ";

// Whose endpoint would not be sent to.
constexpr const char* kSendable =
    "(endpoint_id = '' OR endpoint_id IN (SELECT id FROM webhook_endpoint WHERE tenant_id = ? AND state = "
    "'enabled')) ";

// Before the id of every delivery that was made at `since_s` or later. Ids begin with the time by the maker's
// clock, to which a day of error is allowed: what is older than that need not be read.
DeliveryId before_those_since(std::int64_t since_s) {
  constexpr std::int64_t kDayS = 24 * 3600;
  const std::int64_t ms = std::max<std::int64_t>(0, since_s - kDayS) * 1000;
  std::array<char, 16> digits{};
  std::snprintf(digits.data(), digits.size(), "%08llx-%04llx",
                static_cast<unsigned long long>(ms >> 16) & 0xffffffffULL,
                static_cast<unsigned long long>(ms & 0xffff));
  return {std::string(DeliveryIdTag::kPrefix) + digits.data()};
}

LoggedDelivery read(const Row& row) {
  LoggedDelivery one;
  one.id.value = row.str(0);
  one.event_id.value = row.str(1);
  one.endpoint_id.value = row.str(2);
  one.job_id.value = row.str(3);
  one.url = row.str(4);
  one.state = row.str(5);
  one.attempts = static_cast<int>(row.int64(6));
  if (!row.is_null(7)) one.last_status = static_cast<int>(row.int64(7));
  one.last_error = row.str_or(8, "");
  one.created_us = row.int64(9);
  one.next_attempt_us = row.int64(10);
  one.finished_us = row.int64(11);
  return one;
}

Error no_such(const DeliveryId& id) {
  return {ErrorCode::kNotFound, "no delivery with id " + id.value};
}

}  // namespace

Result<std::vector<LoggedDelivery>> WebhookDeliveryLog::list(const DeliveryFilter& filter,
                                                             Deadline deadline) {
  Sql sql(kSelect);
  sql.text("WHERE tenant_id = ? ").bind(filter.tenant.value);
  if (filter.endpoint_id) sql.text("AND endpoint_id = ? ").bind(filter.endpoint_id->value);
  if (!filter.job_id.empty()) sql.text("AND job_id = ? ").bind(filter.job_id.value);
  if (!filter.event_id.empty()) sql.text("AND event_id = ? ").bind(filter.event_id.value);
  if (!filter.state.empty()) sql.text("AND state = ? ").bind(filter.state);
  if (!filter.after.empty()) sql.text("AND id < ? ").bind(filter.after.value);
  sql.text("ORDER BY id DESC LIMIT ?").bind(filter.limit);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  std::vector<LoggedDelivery> found;
  for (const Row row : rows) found.push_back(read(row));
  return found;
}

Result<LoggedDelivery> WebhookDeliveryLog::get(const TenantId& tenant, const DeliveryId& id,
                                               Deadline deadline) {
  Sql sql(kSelect);
  sql.text("WHERE id = ? AND tenant_id = ?").bind(id.value).bind(tenant.value);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  if (rows.empty()) return fail(no_such(id));
  return read(rows.front());
}

Result<std::vector<LoggedAttempt>> WebhookDeliveryLog::attempts(const DeliveryId& id, int limit,
                                                                Deadline deadline) {
  Sql sql("SELECT attempt, " SLUICE_MICROS(
      "started_at") ", duration_ms, status, error, response FROM delivery_attempt WHERE delivery_id = ? "
                    "ORDER BY attempt DESC LIMIT ?");
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql.bind(id.value).bind(limit), deadline));
  std::vector<LoggedAttempt> made;
  for (const Row row : rows) {
    LoggedAttempt one;
    one.attempt = static_cast<int>(row.int64(0));
    one.started_us = row.int64(1);
    one.duration_ms = row.int64(2);
    if (!row.is_null(3)) one.status = static_cast<int>(row.int64(3));
    one.error = row.str_or(4, "");
    one.response = row.str_or(5, "");
    made.push_back(std::move(one));
  }
  std::reverse(made.begin(), made.end());
  return made;
}

Result<LoggedDelivery> WebhookDeliveryLog::replay(const TenantId& tenant, const DeliveryId& id,
                                                  Deadline deadline) {
  const auto done = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<bool> {
    Sql lock("SELECT state FROM delivery WHERE id = ? AND tenant_id = ? FOR UPDATE");
    SLUICE_ASSIGN(const Rows rows, db.query(lock.bind(id.value).bind(tenant.value), deadline));
    if (rows.empty()) return fail(no_such(id));
    const bool pending = rows.front().text(0) == "pending";
    Sql sendable("SELECT 1 FROM delivery WHERE id = ? AND ");
    sendable.bind(id.value).text(kSendable).bind(tenant.value);
    SLUICE_ASSIGN(const Rows found, db.query(sendable, deadline));
    if (found.empty()) return fail(ErrorCode::kConflict, "the delivery's endpoint is disabled or gone");
    // A claim that somebody holds on a waiting one would be broken by moving its time: those that are due
    // within the longest hold are under way, or will be soon.
    Sql sql(pending
                ? "UPDATE delivery SET attempt_due = UTC_TIMESTAMP(6) WHERE attempt_due > UTC_TIMESTAMP(6) "
                  "+ INTERVAL ? SECOND AND id IN "
                : kReplay);
    if (pending) sql.bind(std::chrono::seconds(kDeliveryHoldMax).count());
    const std::string_view ids[] = {id.value};
    SLUICE_TRY(db.execute(sql.list(ids), deadline));
    return true;
  });
  if (!done) return fail(done.error());
  return get(tenant, id, deadline);
}

Result<Replayed> WebhookDeliveryLog::replay_since(const ReplayFilter& filter, Deadline deadline) {
  Replayed all;
  DeliveryId after = std::max(filter.after, before_those_since(filter.since_s));
  while (all.count < kReplayMax) {
    const auto part = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<Replayed> {
      Sql sql("SELECT id FROM delivery WHERE tenant_id = ? ");
      sql.bind(filter.tenant.value);
      if (filter.endpoint_id) sql.text("AND endpoint_id = ? ").bind(filter.endpoint_id->value);
      sql.text("AND created_at >= TIMESTAMPADD(SECOND, ?, '1970-01-01') ").bind(filter.since_s);
      sql.text(filter.failed_only ? "AND state = 'failed' " : "AND state IN ('failed', 'delivered') ");
      sql.text("AND id > ? AND ").bind(after.value).text(kSendable).bind(filter.tenant.value);
      sql.text("ORDER BY id LIMIT ? FOR UPDATE").bind(kReplayRows + 1);
      SLUICE_ASSIGN(const Rows rows, db.query(sql, deadline));
      Replayed found;
      std::vector<std::string_view> ids;
      for (const Row row : rows) ids.push_back(row.text(0));
      found.more = ids.size() > kReplayRows;
      if (found.more) ids.pop_back();
      if (ids.empty()) return found;
      found.count = static_cast<int>(ids.size());
      found.last.value = std::string(ids.back());
      SLUICE_TRY(db.execute(Sql(kReplay).list(ids), deadline));
      return found;
    });
    if (!part && all.count == 0) return fail(part.error());
    if (!part) {  // How far it came must not be forgotten, or those before would be sent twice.
      all.more = true;
      break;
    }
    all.count += part->count;
    all.more = part->more;
    if (!part->last.empty()) all.last = after = part->last;
    if (!part->more) break;
  }
  return all;
}

}  // namespace sluice
