// The sender's side: what is due, claims, attempts.
#include "callback/store/mysql_delivery_store.h"

#include <algorithm>
#include <map>
#include <set>

#include "callback/store/mysql_rows.h"

namespace sluice::callback {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using store::micros;

namespace {

constexpr std::size_t kErrorBytesMax = 500;
// Statements stay well below max_allowed_packet (16 MB by default).
constexpr std::size_t kStatementBytes = 1'000'000;
// Of what is due to an ordered endpoint so much is looked at in one claim: what must wait there hides no
// other job's.
constexpr int kOrderedLook = 200;

milliseconds waited(const Row& row, std::size_t column) {
  return std::max(milliseconds(0), std::chrono::duration_cast<milliseconds>(microseconds(row.int64(column))));
}

std::optional<std::string> error_text(const AttemptReport& report) {
  if (report.error.empty()) return std::nullopt;
  return plain_text(report.error, kErrorBytesMax);
}

Status insert_attempts(MysqlConnection& db, const std::string& now,
                       std::span<const AttemptRecord* const> records, Deadline deadline) {
  constexpr const char* kHead =
      "INSERT INTO delivery_attempt (delivery_id, attempt, started_at, duration_ms, status, error, response) "
      "VALUES ";
  Sql sql(kHead);
  bool any = false;
  const auto flush = [&]() -> Status {
    if (any) SLUICE_TRY(db.execute(sql, deadline));
    sql = Sql(kHead);
    any = false;
    return {};
  };
  for (const AttemptRecord* record : records) {
    const AttemptReport& report = record->report;
    sql.text(any ? "," : "").text("(?, ?, CAST(? AS DATETIME(6)) - INTERVAL ? MICROSECOND, ?, ?, ?, ?)");
    sql.bind(record->ref.id.value).bind(record->ref.attempts + 1).bind(now).bind(micros(report.duration));
    sql.bind(report.duration.count()).bind(report.status).bind(error_text(report));
    sql.bind(SqlBytes{std::string_view(report.response).substr(0, kResponseBytesKept)});
    any = true;
    if (sql.size() >= kStatementBytes) SLUICE_TRY(flush());
  }
  return flush();
}

// Deliveries that succeeded differ by nothing but the status: one statement for each status.
Status mark_delivered(MysqlConnection& db, const std::string& now,
                      std::span<const AttemptRecord* const> records, Deadline deadline) {
  std::map<int, std::vector<std::string_view>> by_status;
  for (const AttemptRecord* record : records) {
    if (record->verdict.kind != Verdict::Kind::kDelivered) continue;
    by_status[record->report.status.value_or(0)].push_back(record->ref.id.value);
  }
  for (const auto& [status, ids] : by_status) {
    Sql sql(
        "UPDATE delivery SET state = 'delivered', attempts = attempts + 1, attempt_due = NULL, finished_at = "
        "?, "
        "last_status = ?, last_error = NULL WHERE id IN ");
    sql.bind(now).bind(status).list(ids);
    SLUICE_TRY(db.execute(sql, deadline));
  }
  return {};
}

Status mark_undelivered(MysqlConnection& db, const std::string& now, const AttemptRecord& record,
                        Deadline deadline) {
  Sql sql("UPDATE delivery SET attempts = attempts + 1, last_status = ?, last_error = ?, ");
  sql.bind(record.report.status).bind(error_text(record.report));
  if (record.verdict.kind == Verdict::Kind::kRetry) {
    sql.text("attempt_due = CAST(? AS DATETIME(6)) + INTERVAL ? MICROSECOND");
    sql.bind(now).bind(micros(record.verdict.delay));
  } else {
    sql.text("state = 'failed', attempt_due = NULL, finished_at = ?").bind(now);
  }
  sql.text(" WHERE id = ?").bind(record.ref.id.value);
  SLUICE_TRY(db.execute(sql, deadline));
  return {};
}

// Those that are over by these records and that another may wait behind. What counts is what the endpoint
// asks for now: it may have begun to after the claim.
std::vector<std::string_view> over_in_order(std::span<const AttemptRecord* const> records,
                                            const store::Endpoints& endpoints) {
  std::vector<std::string_view> over;
  for (const AttemptRecord* record : records) {
    const auto endpoint = endpoints.find(record->endpoint_id.value);
    if (endpoint == endpoints.end() || !endpoint->second.ordered) continue;
    if (record->verdict.kind != Verdict::Kind::kRetry) over.push_back(record->ref.id.value);
  }
  return over;
}

// Fills in what is to be sent. One that has no payload keeps an empty body.
Status read_bodies(MysqlConnection& db, std::vector<ClaimedDelivery>& claimed, Deadline deadline) {
  std::vector<std::string_view> events;
  for (const ClaimedDelivery& one : claimed) events.push_back(one.event_id.value);
  Sql sql("SELECT event_id, body FROM event_payload WHERE event_id IN ");
  SLUICE_ASSIGN(const Rows rows, db.query(sql.list(events), deadline));
  std::map<std::string_view, std::string_view> bodies;
  for (const Row row : rows) bodies[row.text(0)] = row.text(1);
  for (ClaimedDelivery& one : claimed) {
    if (const auto found = bodies.find(one.event_id.value); found != bodies.end()) one.body = found->second;
  }
  return {};
}

// A registered endpoint is sent to where it is now, however long ago the delivery was made. The rows say so,
// too, since tenants are shown them.
Status point_at(MysqlConnection& db, const store::Endpoints& endpoints, std::vector<ClaimedDelivery>& claimed,
                Deadline deadline) {
  std::map<std::string_view, std::vector<std::string_view>> moved;
  for (ClaimedDelivery& one : claimed) {
    const auto now = endpoints.find(one.endpoint);
    if (now == endpoints.end() || one.url == now->second.url) continue;
    one.url = now->second.url;
    moved[now->second.url].push_back(one.ref.id.value);
  }
  for (const auto& [url, ids] : moved) {
    Sql sql("UPDATE delivery SET url = ? WHERE id IN ");
    SLUICE_TRY(db.execute(sql.bind(url).list(ids), deadline));
  }
  return {};
}

// Locks what is due to one endpoint and adds at most what is wished for.
Status take_due(MysqlConnection& db, const ClaimWish& wish, bool ordered,
                std::vector<ClaimedDelivery>& claimed, Deadline deadline) {
  const int look = ordered ? std::max(wish.deliveries_max, kOrderedLook) : wish.deliveries_max;
  Sql sql(
      "SELECT id, event_id, job_id, tenant_id, url, attempts, endpoint_id, attempts_base FROM delivery "
      "WHERE endpoint = ? AND attempt_due <= UTC_TIMESTAMP(6) ORDER BY attempt_due LIMIT ? "
      "FOR UPDATE SKIP LOCKED");
  SLUICE_ASSIGN(const Rows rows, db.query(sql.bind(wish.endpoint).bind(look), deadline));
  std::set<std::string, std::less<>> behind;
  if (ordered) {
    std::vector<std::string_view> due;
    for (const Row row : rows) due.push_back(row.text(0));
    SLUICE_ASSIGN(behind, store::put_behind(db, due, deadline));
  }
  int taken = 0;
  for (const Row row : rows) {
    if (taken == wish.deliveries_max) break;
    if (behind.contains(row.text(0))) continue;
    ClaimedDelivery one;
    one.ref = {DeliveryId{row.str(0)}, static_cast<int>(row.int64(5)), ""};
    one.event_id.value = row.str(1);
    one.job_id.value = row.str(2);
    one.tenant.value = row.str(3);
    one.url = row.str(4);
    one.endpoint = wish.endpoint;
    one.endpoint_id.value = row.str(6);
    one.attempts_base = static_cast<int>(row.int64(7));
    claimed.push_back(std::move(one));
    ++taken;
  }
  return {};
}

}  // namespace

Result<std::vector<DueEndpoint>> MysqlDeliveryStore::due_endpoints(int limit, Deadline deadline) {
  // The first question is answered by one index entry; most of the time nothing is due.
  const Sql any("SELECT 1 FROM delivery WHERE attempt_due <= UTC_TIMESTAMP(6) LIMIT 1");
  SLUICE_ASSIGN(const Rows due, pool_.query(any, deadline));
  std::vector<DueEndpoint> endpoints;
  if (due.empty()) return endpoints;
  // A loose scan of delivery_endpoint: one dive for each endpoint, however many rows of a dead one are due.
  Sql sql(
      "SELECT endpoint, TIMESTAMPDIFF(MICROSECOND, MIN(attempt_due), UTC_TIMESTAMP(6)) AS waited FROM "
      "delivery "
      "WHERE attempt_due <= UTC_TIMESTAMP(6) GROUP BY endpoint ORDER BY waited DESC LIMIT ?");
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql.bind(limit), deadline));
  endpoints.reserve(rows.size());
  for (const Row row : rows) endpoints.push_back({row.str(0), waited(row, 1)});
  return endpoints;
}

Result<std::vector<ClaimedDelivery>> MysqlDeliveryStore::claim(std::span<const ClaimWish> wishes,
                                                               milliseconds hold, Deadline deadline) {
  std::set<std::string_view> registered;
  for (const ClaimWish& wish : wishes) {
    if (store::is_registered(wish.endpoint)) registered.insert(wish.endpoint);
  }
  std::vector<std::string_view> disabled;
  auto done = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<std::vector<ClaimedDelivery>> {
    std::vector<ClaimedDelivery> claimed;
    disabled.clear();
    SLUICE_ASSIGN(const store::Endpoints endpoints, store::read_endpoints(db, registered, deadline));
    for (const ClaimWish& wish : wishes) {
      const auto now = endpoints.find(wish.endpoint);
      const bool enabled = now != endpoints.end() && now->second.enabled;
      if (registered.contains(wish.endpoint) && !enabled) {
        disabled.push_back(wish.endpoint);
        continue;
      }
      const bool ordered = enabled && now->second.ordered;
      SLUICE_TRY(take_due(db, wish, ordered, claimed, deadline));
    }
    if (claimed.empty()) return claimed;

    Sql until("SELECT CAST(UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND AS DATETIME(6))");
    SLUICE_ASSIGN(const Rows held, db.query(until.bind(micros(hold)), deadline));
    const std::string claim = held.front().str(0);
    std::vector<std::string_view> ids;
    for (ClaimedDelivery& one : claimed) {
      one.ref.claim = claim;
      ids.push_back(one.ref.id.value);
    }
    SLUICE_TRY(point_at(db, endpoints, claimed, deadline));
    Sql push("UPDATE delivery SET attempt_due = ?, behind = 0 WHERE id IN ");
    SLUICE_TRY(db.execute(push.bind(claim).list(ids), deadline));
    SLUICE_TRY(read_bodies(db, claimed, deadline));
    return claimed;
  });
  if (!done) return done;
  // After the claim and apart from it: whatever waits for the disabled ones, the others' is claimed. Should
  // it fail, it stays due and comes again.
  const Status over = store::pass_over(pool_, disabled, deadline);
  if (!over && done->empty()) return fail(over.error());
  return done;
}

Result<std::vector<RecordOutcome>> MysqlDeliveryStore::record(std::span<const AttemptRecord> records,
                                                              Deadline deadline) {
  std::vector<RecordOutcome> none;
  if (records.empty()) return none;
  std::vector<const DeliveryRef*> refs;
  for (const AttemptRecord& record : records) refs.push_back(&record.ref);
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<std::vector<RecordOutcome>> {
    SLUICE_ASSIGN(const std::vector<bool> held, store::lock_claims(db, refs, deadline));
    SLUICE_ASSIGN(const std::string now, store::now_text(db, deadline));
    std::vector<RecordOutcome> outcomes;
    std::vector<const AttemptRecord*> kept;
    for (std::size_t i = 0; i < records.size(); ++i) {
      outcomes.push_back(held[i] ? RecordOutcome::kRecorded : RecordOutcome::kLost);
      if (held[i]) kept.push_back(&records[i]);
    }
    SLUICE_TRY(insert_attempts(db, now, kept, deadline));
    SLUICE_TRY(mark_delivered(db, now, kept, deadline));
    for (const AttemptRecord* record : kept) {
      if (record->verdict.kind != Verdict::Kind::kDelivered)
        SLUICE_TRY(mark_undelivered(db, now, *record, deadline));
    }
    std::set<std::string_view> attempted;
    for (const AttemptRecord* record : kept) {
      if (!record->endpoint_id.empty()) attempted.insert(record->endpoint_id.value);
    }
    SLUICE_ASSIGN(const store::Endpoints endpoints, store::read_endpoints(db, attempted, deadline));
    SLUICE_TRY(store::let_next_go(db, over_in_order(kept, endpoints), deadline));
    SLUICE_TRY(store::judge_endpoints(db, kept, endpoints, ids_, disable_after_, deadline));
    return outcomes;
  });
}

Status MysqlDeliveryStore::release(std::span<const DeliveryRef> claims, milliseconds delay,
                                   Deadline deadline) {
  if (claims.empty()) return {};
  std::vector<const DeliveryRef*> refs;
  for (const DeliveryRef& claim : claims) refs.push_back(&claim);
  const auto done = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<int> {
    SLUICE_ASSIGN(const std::vector<bool> held, store::lock_claims(db, refs, deadline));
    std::vector<std::string_view> ids;
    for (std::size_t i = 0; i < refs.size(); ++i) {
      if (held[i]) ids.push_back(refs[i]->id.value);
    }
    if (ids.empty()) return 0;
    Sql sql("UPDATE delivery SET attempt_due = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND WHERE id IN ");
    SLUICE_TRY(db.execute(sql.bind(micros(delay)).list(ids), deadline));
    return static_cast<int>(ids.size());
  });
  if (!done) return fail(done.error());
  return {};
}

Result<int> MysqlDeliveryStore::give_up(const std::string& endpoint, milliseconds waited,
                                        const std::string& reason, int limit, Deadline deadline) {
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<int> {
    Sql due(
        "SELECT id FROM delivery WHERE endpoint = ? AND attempt_due < UTC_TIMESTAMP(6) - INTERVAL ? "
        "MICROSECOND ORDER BY attempt_due LIMIT ? FOR UPDATE");
    SLUICE_ASSIGN(const Rows rows, db.query(due.bind(endpoint).bind(micros(waited)).bind(limit), deadline));
    std::vector<std::string_view> ids;
    for (const Row row : rows) ids.push_back(row.text(0));
    if (ids.empty()) return 0;
    Sql sql(
        "UPDATE delivery SET state = 'failed', attempt_due = NULL, finished_at = UTC_TIMESTAMP(6), "
        "last_error = ? WHERE id IN ");
    SLUICE_TRY(db.execute(sql.bind(plain_text(reason, kErrorBytesMax)).list(ids), deadline));
    if (store::is_registered(endpoint)) SLUICE_TRY(store::let_next_go(db, ids, deadline));
    return static_cast<int>(ids.size());
  });
}

Result<Backlog> MysqlDeliveryStore::backlog(std::int64_t count_max, Deadline deadline) {
  Sql sql(
      "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM delivery WHERE attempt_due IS NOT NULL LIMIT ?) AS "
      "pending), "
      "(SELECT COALESCE(TIMESTAMPDIFF(MICROSECOND, MIN(attempt_due), UTC_TIMESTAMP(6)), 0) FROM delivery), "
      "(SELECT COUNT(*) FROM webhook_endpoint WHERE disabled_reason IN ('gone', 'failing'))");
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql.bind(count_max), deadline));
  return Backlog{rows.front().int64(0), waited(rows.front(), 1), rows.front().int64(2)};
}

}  // namespace sluice::callback
