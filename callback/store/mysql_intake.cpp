// The intake's side of the MySQL store: events and decisions.
#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "callback/store/mysql_delivery_store.h"
#include "callback/store/mysql_rows.h"

namespace sluice::callback {

namespace {

constexpr std::size_t kStatementBytes = 1'000'000;

struct LockedEvent {
  int shard = 0;
  std::string tenant;
  std::string job_id;
  bool decided = false;
};
using LockedEvents = std::unordered_map<std::string, LockedEvent>;

Result<LockedEvents> lock_events(MysqlConnection& db, std::span<const Decision> decisions,
                                 Deadline deadline) {
  std::vector<std::string_view> ids;
  ids.reserve(decisions.size());
  for (const Decision& decision : decisions) ids.push_back(decision.event_id.value);
  std::sort(ids.begin(), ids.end());
  Sql sql("SELECT id, shard, tenant_id, job_id, publish_due IS NULL FROM event WHERE id IN ");
  SLUICE_ASSIGN(const Rows rows, db.query(sql.list(ids).text(" ORDER BY id FOR UPDATE"), deadline));
  LockedEvents events;
  for (const Row row : rows) {
    events[row.str(0)] = {static_cast<int>(row.int64(1)), row.str(2), row.str(3), row.int64(4) != 0};
  }
  return events;
}

// Which of the registered endpoints are enabled, and stay so until these decisions are committed: whoever
// disables one then finds all that waits for it.
Result<std::unordered_set<std::string>> lock_enabled(MysqlConnection& db,
                                                     std::span<const Decision* const> decisions,
                                                     Deadline deadline) {
  std::set<std::string_view> ids;
  for (const Decision* decision : decisions) {
    for (const NewDelivery& one : decision->deliveries) {
      if (!one.endpoint_id.empty()) ids.insert(one.endpoint_id.value);
    }
  }
  std::unordered_set<std::string> enabled;
  if (ids.empty()) return enabled;
  Sql sql("SELECT id, state FROM webhook_endpoint WHERE id IN ");
  SLUICE_ASSIGN(const Rows rows, db.query(sql.list(ids).text(" ORDER BY id LOCK IN SHARE MODE"), deadline));
  for (const Row row : rows) {
    if (row.text(1) == "enabled") enabled.insert(row.str(0));
  }
  return enabled;
}

// An event that an operator made undecided again keeps the delivery and the payload that it had.
Status insert_deliveries(MysqlConnection& db, std::span<const Decision* const> decisions,
                         const LockedEvents& events, Deadline deadline) {
  SLUICE_ASSIGN(const std::unordered_set<std::string> enabled, lock_enabled(db, decisions, deadline));
  constexpr std::string_view kKeep = " ON DUPLICATE KEY UPDATE event_id = VALUES(event_id)";
  constexpr const char* kPayloadHead = "INSERT INTO event_payload (event_id, body) VALUES ";
  constexpr const char* kDeliveryHead =
      "INSERT INTO delivery (id, shard, tenant_id, event_id, job_id, endpoint_id, url, endpoint, state, "
      "attempt_due, created_at) VALUES ";
  Sql payloads(kPayloadHead);
  Sql deliveries(kDeliveryHead);
  bool any_payload = false;
  bool any_delivery = false;
  const auto flush_payloads = [&]() -> Status {
    if (any_payload) SLUICE_TRY(db.execute(payloads.text(kKeep), deadline));
    payloads = Sql(kPayloadHead);
    any_payload = false;
    return {};
  };
  const auto flush_deliveries = [&]() -> Status {
    if (any_delivery) SLUICE_TRY(db.execute(deliveries.text(kKeep), deadline));
    deliveries = Sql(kDeliveryHead);
    any_delivery = false;
    return {};
  };
  for (const Decision* decision : decisions) {
    bool received = false;
    const LockedEvent& event = events.at(decision->event_id.value);
    for (const NewDelivery& delivery : decision->deliveries) {
      if (!delivery.endpoint_id.empty() && !enabled.contains(delivery.endpoint_id.value)) continue;
      received = true;
      deliveries.text(any_delivery ? "," : "")
          .text("(?, ?, ?, ?, ?, ?, ?, ?, 'pending', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))");
      deliveries.bind(delivery.id.value).bind(event.shard).bind(event.tenant).bind(decision->event_id.value);
      deliveries.bind(event.job_id)
          .bind(delivery.endpoint_id.value)
          .bind(delivery.url)
          .bind(delivery.endpoint);
      any_delivery = true;
      if (deliveries.size() >= kStatementBytes) SLUICE_TRY(flush_deliveries());
    }
    if (!received) continue;
    payloads.row(decision->event_id.value, decision->body);
    any_payload = true;
    if (payloads.size() >= kStatementBytes) SLUICE_TRY(flush_payloads());
  }
  SLUICE_TRY(flush_payloads());
  return flush_deliveries();
}

}  // namespace

Result<std::vector<EventRecord>> MysqlDeliveryStore::find_events(std::span<const EventId> ids,
                                                                 Deadline deadline) {
  std::vector<EventRecord> events;
  if (ids.empty()) return events;
  std::vector<std::string_view> values;
  values.reserve(ids.size());
  for (const EventId& id : ids) values.push_back(id.value);
  Sql sql(
      "SELECT e.id, e.job_id, e.tenant_id, e.generation, e.type, "
      "CAST(UNIX_TIMESTAMP(e.created_at) * 1000000 AS SIGNED), e.publish_due IS NULL, "
      "COALESCE(j.callback_url, f.callback_url), g.id, g.callback_lines, "
      "g.callback_seconds FROM event e LEFT JOIN job j ON j.id = e.job_id "
      "LEFT JOIN file_batch f ON f.id = e.job_id "
      "LEFT JOIN file_batch g ON g.id = j.batch_id AND g.callback_lines IS NOT NULL WHERE e.id IN ");
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql.list(values), deadline));
  events.reserve(rows.size());
  for (const Row row : rows) {
    EventRecord event;
    event.id.value = row.str(0);
    event.job_id.value = row.str(1);
    event.tenant.value = row.str(2);
    event.generation = row.int64(3);
    event.type = row.str(4);
    event.created_us = row.int64(5);
    event.decided = row.int64(6) != 0;
    event.callback_url = row.str_or(7, "");
    if (!row.is_null(8)) {
      event.together =
          Together{BatchId{row.str(8)}, static_cast<int>(row.int64(9)), std::chrono::seconds(row.int64(10))};
    }
    events.push_back(std::move(event));
  }
  return events;
}

Result<std::vector<DecideOutcome>> MysqlDeliveryStore::decide(std::span<const Decision> decisions,
                                                              Deadline deadline) {
  std::vector<DecideOutcome> none;
  if (decisions.empty()) return none;
  auto decided = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<std::vector<DecideOutcome>> {
    SLUICE_ASSIGN(const LockedEvents events, lock_events(db, decisions, deadline));
    std::vector<DecideOutcome> outcomes;
    std::vector<const Decision*> fresh;
    std::vector<std::string_view> ids;
    for (const Decision& decision : decisions) {
      const auto found = events.find(decision.event_id.value);
      if (found == events.end()) {
        outcomes.push_back(DecideOutcome::kUnknown);
      } else if (found->second.decided) {
        outcomes.push_back(DecideOutcome::kAlreadyDecided);
      } else {
        outcomes.push_back(DecideOutcome::kDecided);
        fresh.push_back(&decision);
        ids.push_back(decision.event_id.value);
      }
    }
    if (fresh.empty()) return outcomes;
    SLUICE_TRY(store::keep_waiting_lines(db, fresh, deadline));
    for (const Decision* decision : fresh) {
      const std::string& ended = events.at(decision->event_id.value).job_id;
      if (!is_well_formed_id(ended, BatchIdTag::kPrefix)) continue;
      SLUICE_TRY(store::tell_waiting_lines(db, ids_, ended, deadline));
    }
    SLUICE_TRY(insert_deliveries(db, fresh, events, deadline));
    Sql sql("UPDATE event SET publish_due = NULL WHERE id IN ");
    SLUICE_TRY(db.execute(sql.list(ids), deadline));
    return outcomes;
  });
  // Should it fail, the next end that joins a group calls it, or its first one's time does.
  if (decided) static_cast<void>(store::call_full_groups(pool_, store::groups_of(decisions), deadline));
  return decided;
}

}  // namespace sluice::callback
