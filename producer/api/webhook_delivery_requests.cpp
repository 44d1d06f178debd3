#include "producer/api/webhook_delivery_requests.h"

#include "producer/api/json_fields.h"

namespace sluice::producer {

using nlohmann::json;

namespace {
constexpr std::int64_t kYear10000S = 253'402'300'799;
}  // namespace

tl::expected<ReplayFilter, SubmitRefusal> parse_replay(std::string_view body) {
  ReplayFilter filter;
  FieldErrors errors;
  bool since = false;
  const auto read =
      read_object(body, errors, [&](const std::string& name, const json& value, FieldErrors& into) {
        if (name == "since") {
          // A wrong one has an error of its own.
          since = !value.is_null();
          read_integer(value, name, 0, kYear10000S, into, [&filter](std::int64_t n) { filter.since_s = n; });
        } else if (name == "endpoint_id") {
          const std::string* text = read_string(value, name, into);
          if (text == nullptr) return true;
          if (!text->empty() && !is_well_formed_id(*text, WebhookEndpointIdTag::kPrefix)) {
            into.add(name, "invalid_value", "must be the id of a webhook endpoint, or empty: callback URLs");
          } else {
            filter.endpoint_id = WebhookEndpointId{*text};
          }
        } else if (name == "status") {
          const std::string* text = read_string(value, name, into);
          if (text == nullptr) return true;
          if (*text != "failed" && *text != "any") {
            into.add(name, "invalid_value", "must be failed or any");
          }
          filter.failed_only = *text != "any";
        } else if (name == "after") {
          const std::string* text = read_string(value, name, into);
          if (text == nullptr) return true;
          if (!is_well_formed_id(*text, DeliveryIdTag::kPrefix)) {
            into.add(name, "invalid_value", "must be the id of a delivery");
          } else {
            filter.after.value = *text;
          }
        } else {
          return false;
        }
        return true;
      });
  if (!read) return tl::unexpected(read.error());
  if (!since) errors.add("since", "missing_field", "is required");
  if (!errors.empty()) return refuse_fields(std::move(errors));
  return filter;
}

tl::expected<DeliveryFilter, BadQuery> read_delivery_query(const http::RequestHead& head) {
  DeliveryFilter filter;
  filter.limit = kListLimitDefault;
  for (const auto& [name, value] : head.query) {
    if (is_given_twice(head, name)) return bad_param(name, "is given twice");
    if (name == "after") {
      if (!is_well_formed_id(value, DeliveryIdTag::kPrefix))
        return bad_param(name, "must be the id of a delivery");
      filter.after.value = value;
    } else if (name == "endpoint_id") {
      if (!value.empty() && !is_well_formed_id(value, WebhookEndpointIdTag::kPrefix)) {
        return bad_param(name, "must be the id of a webhook endpoint, or empty: callback URLs");
      }
      filter.endpoint_id = WebhookEndpointId{value};
    } else if (name == "job_id") {
      if (!is_well_formed_id(value, JobIdTag::kPrefix)) return bad_param(name, "must be the id of a job");
      filter.job_id.value = value;
    } else if (name == "event_id") {
      if (!is_well_formed_id(value, EventIdTag::kPrefix))
        return bad_param(name, "must be the id of an event");
      filter.event_id.value = value;
    } else if (name == "status") {
      if (value != "pending" && value != "delivered" && value != "failed") {
        return bad_param(name, "must be pending, delivered or failed");
      }
      filter.state = value;
    } else if (name == "limit") {
      if (!read_limit(value, filter.limit)) return bad_param(name, "must be a whole number from 1 to 100");
    } else {
      return bad_param(name, "is not a query parameter of this route");
    }
  }
  return filter;
}

}  // namespace sluice::producer
