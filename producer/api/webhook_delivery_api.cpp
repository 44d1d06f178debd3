#include "producer/api/webhook_delivery_api.h"

#include <optional>

#include "producer/api/webhook_answers.h"
#include "producer/api/webhook_delivery_requests.h"

namespace sluice::producer {

namespace {

using nlohmann::json;

constexpr int kAttemptsMax = 100;  // Shown of one delivery: each replay adds some.

std::optional<DeliveryId> id_of(const http::Request& request) {
  const std::string_view id = request.path_param("id");
  if (!is_well_formed_id(id, DeliveryIdTag::kPrefix)) return std::nullopt;
  return DeliveryId{std::string(id)};
}

json attempt_json(const LoggedAttempt& one) {
  return {{"object", "webhook_attempt"},
          {"attempt", one.attempt},
          {"started_at", static_cast<double>(one.started_us / 1000) / 1000},
          {"duration_ms", one.duration_ms},
          {"status", one.status ? json(*one.status) : json()},
          {"error", text_or_null(one.error)},
          {"response", one.response}};
}

}  // namespace

void WebhookDeliveryApi::add_routes(http::Router& router) {
  using http::Method;
  const auto add = webhook_routes(router, parts_.authenticator, this);
  using Api = WebhookDeliveryApi;
  constexpr std::size_t kBody = kWebhookBodyBytesMax;
  add(Method::kGet, "/v1/webhook_deliveries", kScopeRead, 0, &Api::list, true);
  add(Method::kPost, "/v1/webhook_deliveries/replay", kScopeSubmit, kBody, &Api::replay_many);
  add(Method::kGet, "/v1/webhook_deliveries/{id}", kScopeRead, 0, &Api::get);
  add(Method::kGet, "/v1/webhook_deliveries/{id}/attempts", kScopeRead, 0, &Api::attempts);
  add(Method::kPost, "/v1/webhook_deliveries/{id}/replay", kScopeSubmit, kBody, &Api::replay);
}

http::Response WebhookDeliveryApi::list(const http::Request& request) {
  auto filter = read_delivery_query(request);
  if (!filter) return bad_query(filter.error());
  filter->tenant = tenant_of(request);
  const int limit = filter->limit;
  filter->limit = limit + 1;
  const auto found = parts_.deliveries.list(*filter, call_deadline());
  if (!found) return webhook_failure(found.error(), no_such_webhook_delivery);
  return list_of<LoggedDelivery>(*found, limit, delivery_json);
}

http::Response WebhookDeliveryApi::get(const http::Request& request) {
  const auto id = id_of(request);
  if (!id) return no_such_webhook_delivery();
  const auto found = parts_.deliveries.get(tenant_of(request), *id, call_deadline());
  if (!found) return webhook_failure(found.error(), no_such_webhook_delivery);
  return http::json_response(200, delivery_json(*found));
}

http::Response WebhookDeliveryApi::attempts(const http::Request& request) {
  const auto id = id_of(request);
  if (!id) return no_such_webhook_delivery();
  const auto found = parts_.deliveries.get(tenant_of(request), *id, call_deadline());
  if (!found) return webhook_failure(found.error(), no_such_webhook_delivery);
  const auto made = parts_.deliveries.attempts(*id, kAttemptsMax + 1, call_deadline());
  if (!made) return webhook_failure(made.error(), no_such_webhook_delivery);
  const bool more = made->size() > kAttemptsMax;
  json data = json::array();
  for (std::size_t i = more ? 1 : 0; i < made->size(); ++i) data.push_back(attempt_json((*made)[i]));
  return http::json_response(200, {{"object", "list"}, {"data", std::move(data)}, {"has_more", more}});
}

http::Response WebhookDeliveryApi::replay(const http::Request& request) {
  const auto id = id_of(request);
  if (!id) return no_such_webhook_delivery();
  const auto replayed = parts_.deliveries.replay(tenant_of(request), *id, call_deadline());
  if (!replayed) return webhook_failure(replayed.error(), no_such_webhook_delivery);
  return http::json_response(202, delivery_json(*replayed));
}

http::Response WebhookDeliveryApi::replay_many(const http::Request& request) {
  auto filter = parse_replay(request.body);
  if (!filter) return refusal_answer(filter.error());
  filter->tenant = tenant_of(request);
  if (filter->endpoint_id && !filter->endpoint_id->empty()) {
    const auto endpoint = parts_.endpoints.get(filter->tenant, *filter->endpoint_id, call_deadline());
    if (!endpoint) return webhook_failure(endpoint.error(), no_such_webhook_endpoint);
    if (!endpoint->enabled) return webhook_endpoint_disabled();
  }
  const auto replayed = parts_.deliveries.replay_since(*filter, Deadline::in(parts_.clock, kReplayTimeout));
  if (!replayed) return webhook_failure(replayed.error(), no_such_webhook_delivery);
  return http::json_response(202, {{"object", "webhook_replay"},
                                   {"replayed", replayed->count},
                                   {"last_id", text_or_null(replayed->last.value)},
                                   {"has_more", replayed->more}});
}

}  // namespace sluice::producer
