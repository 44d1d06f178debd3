#include "producer/api/webhook_api.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "common/base/failpoint.h"
#include "common/http/error_response.h"
#include "producer/api/webhook_answers.h"
#include "producer/api/webhook_requests.h"

namespace sluice::producer {

namespace {

using nlohmann::json;

std::optional<WebhookEndpointId> endpoint_id_of(const http::Request& request) {
  const std::string_view id = request.path_param("id");
  if (!is_well_formed_id(id, WebhookEndpointIdTag::kPrefix)) return std::nullopt;
  return WebhookEndpointId{std::string(id)};
}

json events_json(std::string_view events) {
  json list = json::array();
  while (!events.empty()) {
    const std::size_t comma = events.find(',');
    list.push_back(events.substr(0, comma));
    events = comma == std::string_view::npos ? std::string_view() : events.substr(comma + 1);
  }
  return list;
}

json endpoint_json(const WebhookEndpoint& endpoint) {
  return {{"id", endpoint.id.value},
          {"object", "webhook_endpoint"},
          {"url", endpoint.url},
          {"description", endpoint.description},
          {"events", events_json(endpoint.events)},
          {"signing", webhook_signing_name(endpoint.signing)},
          {"public_key", text_or_null(endpoint.public_key)},
          {"ordered", endpoint.ordered},
          {"status", endpoint.enabled ? "enabled" : "disabled"},
          {"disabled_reason", text_or_null(endpoint.disabled_reason)},
          {"created_at", seconds_or_null(endpoint.created_us)},
          {"disabled_at", seconds_or_null(endpoint.disabled_us)},
          {"failing_since", seconds_or_null(endpoint.failing_since_us)},
          {"old_secret_expires_at", seconds_or_null(endpoint.old_secret_until_us)}};
}

http::Response answer(const Result<WebhookEndpoint>& endpoint, int status = 200) {
  if (!endpoint) return webhook_failure(endpoint.error(), no_such_webhook_endpoint);
  return http::json_response(status, endpoint_json(*endpoint));
}

// The only two answers that ever hold a secret: when it is made. A private key stays here; its public key is
// all that a receiver needs.
http::Response answer_with_secret(const WebhookEndpoint& endpoint, const Secret& secret, int status) {
  json body = endpoint_json(endpoint);
  if (endpoint.signing == WebhookSigning::kHmac) body["secret"] = secret.reveal();
  http::Response response = http::json_response(status, body);
  response.headers.set("Cache-Control", "no-store");
  return response;
}

http::Response no_master_key() {
  return http::error_response(
      501, http::error_type::kServer, "webhook_endpoints_unavailable",
      "This producer has no master key, which the secrets of endpoints are sealed with.");
}

}  // namespace

void WebhookApi::add_routes(http::Router& router) {
  using http::Method;
  const auto add = webhook_routes(router, parts_.authenticator, this);
  using Api = WebhookApi;
  constexpr std::size_t kBody = kWebhookBodyBytesMax;
  add(Method::kPost, "/v1/webhook_endpoints", kScopeSubmit, kBody, &Api::create);
  add(Method::kGet, "/v1/webhook_endpoints", kScopeRead, 0, &Api::list, true);
  add(Method::kGet, "/v1/webhook_endpoints/{id}", kScopeRead, 0, &Api::get);
  add(Method::kPost, "/v1/webhook_endpoints/{id}", kScopeSubmit, kBody, &Api::update);
  add(Method::kDelete, "/v1/webhook_endpoints/{id}", kScopeSubmit, kBody, &Api::remove);
  add(Method::kPost, "/v1/webhook_endpoints/{id}/rotate_secret", kScopeSubmit, kBody, &Api::rotate);
  add(Method::kPost, "/v1/webhook_endpoints/{id}/test", kScopeSubmit, kBody, &Api::send_test);
}

http::Response WebhookApi::create(const http::Request& request) {
  auto fields = parse_endpoint(request.body, true);
  if (!fields) return refusal_answer(fields.error());
  if (!parts_.endpoints.can_seal()) return no_master_key();
  WebhookEndpoint endpoint;
  endpoint.tenant = tenant_of(request);
  endpoint.id = parts_.ids.make<WebhookEndpointId>(shard_of_tenant(endpoint.tenant));
  endpoint.url = *fields->changes.url;
  endpoint.description = fields->changes.description.value_or("");
  endpoint.events = fields->changes.events.value_or("*");
  endpoint.ordered = fields->changes.ordered.value_or(false);
  endpoint.signing = fields->signing.value_or(WebhookSigning::kHmac);
  const Secret secret = fields->secret.empty() ? make_webhook_secret(endpoint.signing, parts_.rng)
                                               : Secret(std::move(fields->secret));
  auto made = parts_.endpoints.create(endpoint, secret, call_deadline());
  // The id tells the repetition of a commit whose answer was lost.
  if (!made && made.error().code == ErrorCode::kOutcomeUnknown) {
    made = parts_.endpoints.create(endpoint, secret, call_deadline());
  }
  if (!made && made.error().code == ErrorCode::kExhausted) {
    return http::error_response(
        409, http::error_type::kConflict, "too_many_webhook_endpoints",
        "A tenant has at most " + std::to_string(kEndpointsMax) + " webhook endpoints.");
  }
  if (!made) return webhook_failure(made.error(), no_such_webhook_endpoint);
  SLUICE_FAILPOINT("producer.after_endpoint_commit");
  http::Response response = answer_with_secret(*made, secret, 201);
  response.headers.set("Location", "/v1/webhook_endpoints/" + made->id.value);
  return response;
}

http::Response WebhookApi::list(const http::Request& request) {
  const auto page = read_endpoint_query(request);
  if (!page) return bad_query(page.error());
  const auto found = parts_.endpoints.list(tenant_of(request), page->after, page->limit + 1, call_deadline());
  if (!found) return webhook_failure(found.error(), no_such_webhook_endpoint);
  return list_of<WebhookEndpoint>(*found, page->limit, endpoint_json);
}

http::Response WebhookApi::get(const http::Request& request) {
  const auto id = endpoint_id_of(request);
  if (!id) return no_such_webhook_endpoint();
  return answer(parts_.endpoints.get(tenant_of(request), *id, call_deadline()));
}

http::Response WebhookApi::update(const http::Request& request) {
  const auto id = endpoint_id_of(request);
  if (!id) return no_such_webhook_endpoint();
  const auto fields = parse_endpoint(request.body, false);
  if (!fields) return refusal_answer(fields.error());
  return answer(parts_.endpoints.update(tenant_of(request), *id, fields->changes, call_deadline()));
}

http::Response WebhookApi::remove(const http::Request& request) {
  const auto id = endpoint_id_of(request);
  if (!id) return no_such_webhook_endpoint();
  const Status removed = parts_.endpoints.remove(tenant_of(request), *id, call_deadline());
  if (!removed) return webhook_failure(removed.error(), no_such_webhook_endpoint);
  return http::json_response(200,
                             {{"id", id->value}, {"object", "webhook_endpoint.deleted"}, {"deleted", true}});
}

http::Response WebhookApi::rotate(const http::Request& request) {
  const auto id = endpoint_id_of(request);
  if (!id) return no_such_webhook_endpoint();
  auto fields = parse_rotation(request.body);
  if (!fields) return refusal_answer(fields.error());
  if (!parts_.endpoints.can_seal()) return no_master_key();
  const TenantId& tenant = tenant_of(request);
  const auto endpoint = parts_.endpoints.get(tenant, *id, call_deadline());
  if (!endpoint) return webhook_failure(endpoint.error(), no_such_webhook_endpoint);
  if (const auto fits = check_rotation(*fields, endpoint->signing); !fits)
    return refusal_answer(fits.error());
  const Secret secret = fields->secret.empty() ? make_webhook_secret(endpoint->signing, parts_.rng)
                                               : Secret(std::move(fields->secret));
  const std::chrono::seconds overlap(fields->old_expires_s.value_or(config_.secret_overlap.count()));
  auto rotated = parts_.endpoints.rotate(tenant, *id, secret, overlap, call_deadline());
  if (!rotated && rotated.error().code == ErrorCode::kOutcomeUnknown) {
    rotated = parts_.endpoints.rotate(tenant, *id, secret, overlap, call_deadline());
  }
  if (!rotated) return webhook_failure(rotated.error(), no_such_webhook_endpoint);
  SLUICE_FAILPOINT("producer.after_endpoint_commit");
  return answer_with_secret(*rotated, secret, 200);
}

http::Response WebhookApi::send_test(const http::Request& request) {
  const auto id = endpoint_id_of(request);
  if (!id) return no_such_webhook_endpoint();
  const TenantId& tenant = tenant_of(request);
  const auto sent = parts_.endpoints.send_test(tenant, *id, call_deadline());
  if (!sent) return webhook_failure(sent.error(), no_such_webhook_endpoint);
  const auto delivery = parts_.deliveries.get(tenant, *sent, call_deadline());
  if (!delivery) return webhook_failure(delivery.error(), no_such_webhook_delivery);
  return http::json_response(202, delivery_json(*delivery));
}

}  // namespace sluice::producer
