// What the answers of the webhook routes share. Pure functions.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>

#include "common/http/body_json.h"
#include "common/http/router.h"
#include "common/store/webhook_delivery_log.h"
#include "producer/api/answers.h"
#include "producer/api/authenticator.h"

namespace sluice::producer {

nlohmann::json delivery_json(const LoggedDelivery& one);

// An OpenAI list of at most `limit` of `items`; one more than that means that there are more.
template <class Item>
http::Response list_of(std::span<const Item> items, int limit, nlohmann::json (*render)(const Item&)) {
  const bool more = items.size() > static_cast<std::size_t>(limit);
  if (more) items = items.first(static_cast<std::size_t>(limit));
  using nlohmann::json;
  json data = json::array();
  for (const Item& item : items) data.push_back(render(item));
  const json first = items.empty() ? json() : json(items.front().id.value);
  const json last = items.empty() ? json() : json(items.back().id.value);
  return http::json_response(200, {{"object", "list"},
                                   {"data", std::move(data)},
                                   {"first_id", first},
                                   {"last_id", last},
                                   {"has_more", more}});
}

// 404, the same for what isn't there and what is somebody else's.
http::Response no_such_webhook_endpoint();
http::Response no_such_webhook_delivery();
http::Response webhook_endpoint_disabled();
// What a store's failure means for a client.
http::Response webhook_failure(const Error& error, http::Response (*not_found)());

// Runs `handle` if the request has no query, or the route takes one.
http::Handler webhook_handler(std::function<http::Response(const http::Request&)> handle, bool takes_query);

// Adds routes to members of `api`, which must outlive the server, as must `authenticator`.
template <class Api>
auto webhook_routes(http::Router& router, Authenticator& authenticator, Api* api) {
  return [&router, &authenticator, api](
             http::Method method, const char* path, Scope scope, std::size_t body_max,
             http::Response (Api::*handle)(const http::Request&), bool takes_query = false) {
    http::Route route;
    route.body_max = body_max;
    route.authenticate = authenticator.require(scope);
    route.handler = webhook_handler(
        [api, handle](const http::Request& request) { return (api->*handle)(request); }, takes_query);
    router.add(method, path, std::move(route));
  };
}

}  // namespace sluice::producer
