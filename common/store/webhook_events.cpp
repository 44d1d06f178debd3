#include "common/store/webhook_events.h"

#include <array>
#include <nlohmann/json.hpp>

namespace sluice {

namespace {
constexpr std::array<std::string_view, 14> kTypes = {
    "job.succeeded",   "job.failed",          "job.dead",           "job.expired",
    "job.cancelled",   "batch.failed",        "batch.expired",      "batch.completed",
    "batch.cancelled", "response.completed",  "response.cancelled", "response.incomplete",
    "response.failed", kEndpointDisabledEvent};
}

std::span<const std::string_view> webhook_event_types() {
  return kTypes;
}

bool chosen_by_name(std::string_view events, std::string_view type) {
  while (!events.empty()) {
    const std::size_t comma = events.find(',');
    const std::string_view one = events.substr(0, comma);
    if (one == type) return true;
    events = comma == std::string_view::npos ? std::string_view() : events.substr(comma + 1);
  }
  return false;
}

bool chosen_events_hold(std::string_view events, std::string_view type) {
  return chosen_by_name(events, type) || chosen_by_name(events, kAllEvents);
}

Result<std::vector<DeliveryId>> post_endpoint_event(MysqlConnection& db, IdMaker& ids, const TenantId& tenant,
                                                    std::span<const EndpointTarget> targets,
                                                    std::string_view type, nlohmann::json data,
                                                    Deadline deadline) {
  std::vector<DeliveryId> deliveries;
  if (targets.empty()) return deliveries;
  SLUICE_ASSIGN(const Rows now, db.query(Sql("SELECT UNIX_TIMESTAMP()"), deadline));
  const int shard = shard_of_tenant(tenant);
  const EventId event = ids.make<EventId>(shard);
  const nlohmann::json body = {{"id", event.value}, {"object", "event"},
                               {"type", type},      {"created_at", now.front().int64(0)},
                               {"sequence", 1},     {"data", std::move(data)}};
  Sql payload("INSERT INTO event_payload (event_id, body) VALUES ");
  const std::string text = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  SLUICE_TRY(db.execute(payload.row(event.value, text), deadline));
  Sql sql(
      "INSERT INTO delivery (id, shard, tenant_id, event_id, job_id, endpoint_id, url, endpoint, state, "
      "attempt_due, created_at) VALUES ");
  for (const EndpointTarget& target : targets) {
    deliveries.push_back(ids.make<DeliveryId>(shard));
    sql.text(deliveries.size() > 1 ? "," : "");
    sql.text("(?, ?, ?, ?, '', ?, ?, ?, 'pending', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))");
    sql.bind(deliveries.back().value).bind(shard).bind(tenant.value).bind(event.value);
    sql.bind(target.id.value).bind(target.url).bind(target.id.value);
  }
  SLUICE_TRY(db.execute(sql, deadline));
  return deliveries;
}

Status post_endpoints_disabled(MysqlConnection& db, IdMaker& ids, std::span<const std::string_view> disabled,
                               Deadline deadline) {
  Sql which("SELECT id, tenant_id, url, disabled_reason FROM webhook_endpoint WHERE id IN ");
  SLUICE_ASSIGN(const Rows rows, db.query(which.list(disabled), deadline));
  for (const Row row : rows) {
    Sql others("SELECT id, url, events FROM webhook_endpoint WHERE tenant_id = ? AND state = 'enabled'");
    SLUICE_ASSIGN(const Rows found, db.query(others.bind(row.text(1)), deadline));
    std::vector<EndpointTarget> targets;
    for (const Row other : found) {
      if (!chosen_events_hold(other.text(2), kEndpointDisabledEvent)) continue;
      targets.push_back({WebhookEndpointId{other.str(0)}, other.str(1)});
    }
    SLUICE_TRY(post_endpoint_event(db, ids, TenantId{row.str(1)}, targets, kEndpointDisabledEvent,
                                   {{"id", row.str(0)},
                                    {"object", "webhook_endpoint"},
                                    {"url", row.str(2)},
                                    {"status", "disabled"},
                                    {"disabled_reason", row.str(3)}},
                                   deadline));
  }
  return {};
}

}  // namespace sluice
