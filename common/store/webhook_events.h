// Events that are about a webhook endpoint itself. No job ends with them, so they need no row in the outbox:
// their payload and their deliveries are written by the transaction that they tell of.
//
// Safe for concurrent use.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "common/ids/ids.h"
#include "common/ids/webhook_endpoint_id.h"
#include "common/mysql/mysql.h"

namespace sluice {

inline constexpr std::string_view kEndpointTestEvent = "webhook_endpoint.test";
inline constexpr std::string_view kEndpointDisabledEvent = "webhook_endpoint.disabled";
inline constexpr std::string_view kAllEvents = "*";

// The types that an endpoint may choose.
std::span<const std::string_view> webhook_event_types();
// Whether a stored list of chosen types ("job.failed,job.dead", "job.dead,*") holds `type` itself.
bool chosen_by_name(std::string_view events, std::string_view type);
// Whether it does, or holds kAllEvents.
bool chosen_events_hold(std::string_view events, std::string_view type);

struct EndpointTarget {
  WebhookEndpointId id;
  std::string url;
};

// Writes an event with `data` and a delivery, due now, for each target; call inside a transaction. The ids of
// the deliveries, in the order of the targets; without targets nothing is written.
Result<std::vector<DeliveryId>> post_endpoint_event(MysqlConnection& db, IdMaker& ids, const TenantId& tenant,
                                                    std::span<const EndpointTarget> targets,
                                                    std::string_view type, nlohmann::json data,
                                                    Deadline deadline);

// Tells the tenant's other endpoints that these were disabled (each a row: id, tenant_id, url,
// disabled_reason). Call inside the transaction that disabled them.
Status post_endpoints_disabled(MysqlConnection& db, IdMaker& ids, std::span<const std::string_view> disabled,
                               Deadline deadline);

}  // namespace sluice
