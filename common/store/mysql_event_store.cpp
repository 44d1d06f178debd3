#include "common/store/mysql_event_store.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace sluice {

std::string event_ref_to_json(const EventRef& ref) {
  const nlohmann::json out = {{"event_id", ref.id.value},
                              {"job_id", ref.job_id.value},
                              {"tenant", ref.tenant.value},
                              {"generation", ref.generation},
                              {"type", ref.type}};
  return out.dump();
}

Result<EventRef> event_ref_from_json(std::string_view text) {
  try {
    const auto in = nlohmann::json::parse(text);
    EventRef ref;
    ref.id.value = in.at("event_id").get<std::string>();
    ref.job_id.value = in.at("job_id").get<std::string>();
    ref.tenant.value = in.at("tenant").get<std::string>();
    ref.generation = in.at("generation").get<std::int64_t>();
    ref.type = in.at("type").get<std::string>();
    if (!is_well_formed_id(ref.id.value, EventIdTag::kPrefix) ||
        (!is_well_formed_id(ref.job_id.value, JobIdTag::kPrefix) &&
         !is_well_formed_id(ref.job_id.value, BatchIdTag::kPrefix))) {
      return fail(ErrorCode::kCorrupt, "event message: an id is not well formed");
    }
    return ref;
  } catch (const nlohmann::json::exception& e) {
    return fail(ErrorCode::kCorrupt, std::string("event message: ") + e.what());
  }
}

Result<std::vector<DueEvent>> MysqlEventStore::due_events(std::span<const int> shards, int limit,
                                                          Deadline deadline) {
  std::vector<DueEvent> events;
  if (shards.empty() || limit <= 0) return events;
  Sql sql(
      "SELECT id, job_id, tenant_id, generation, type, publishes FROM event "
      "WHERE publish_due <= UTC_TIMESTAMP(6)");
  if (static_cast<int>(shards.size()) < kShards) sql.text(" AND shard IN ").list(shards);
  sql.text(" ORDER BY publish_due LIMIT ?").bind(limit);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  events.reserve(rows.size());
  for (const Row row : rows) {
    events.push_back(DueEvent{
        EventRef{EventId{row.str(0)}, JobId{row.str(1)}, TenantId{row.str(2)}, row.int64(3), row.str(4)},
        static_cast<int>(row.int64(5))});
  }
  return events;
}

Status MysqlEventStore::mark_events(std::span<const EventId> events, bool published, Deadline deadline) {
  if (events.empty()) return {};
  std::vector<std::string_view> ids;
  ids.reserve(events.size());
  for (const EventId& event : events) ids.push_back(event.value);
  std::sort(ids.begin(), ids.end());
  // A decision that was committed meanwhile (publish_due is NULL) stays.
  Sql sql("UPDATE event SET publish_due = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND");
  sql.bind(std::chrono::duration_cast<std::chrono::microseconds>(republish_after_).count());
  if (published) sql.text(", publishes = publishes + 1");
  sql.text(" WHERE publish_due IS NOT NULL AND id IN ").list(ids);
  auto done = pool_.transaction(deadline, [&](MysqlConnection& db) { return db.execute(sql, deadline); });
  if (!done) return fail(done.error());
  return {};
}

}  // namespace sluice
