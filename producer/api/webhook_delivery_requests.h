// Bodies and queries of the routes of webhook deliveries, read and checked.
//
// Pure functions.
#pragma once

#include <string_view>
#include <tl/expected.hpp>

#include "common/store/webhook_delivery_log.h"
#include "producer/api/webhook_fields.h"

namespace sluice::producer {

// Everything of the filter but the tenant.
tl::expected<ReplayFilter, SubmitRefusal> parse_replay(std::string_view body);
tl::expected<DeliveryFilter, BadQuery> read_delivery_query(const http::RequestHead& head);

}  // namespace sluice::producer
