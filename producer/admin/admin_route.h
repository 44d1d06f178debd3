// What all admin routes share: who asks, how routes are made, how failures are told.
//
// Pure but for Authenticator; safe for concurrent use.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/result.h"
#include "common/http/router.h"
#include "common/store/audit_store.h"
#include "producer/api/authenticator.h"

namespace sluice::producer {

inline constexpr std::size_t kAdminBodyBytesMax = 1'000'000;

// Whoever sent the request, by the principal that the route's authenticator has put there.
Actor actor_of(const http::RequestHead& head);

// A route for operators alone. `authenticator` must outlive the server.
http::Route admin_route(Authenticator& authenticator, std::size_t body_max,
                        std::function<http::Response(const http::Request&)> handler);

// Adds routes to members of `api`, which must outlive the server, too.
template <class Api>
auto admin_routes(http::Router& router, Authenticator& authenticator, Api* api) {
  return [&router, &authenticator, api](http::Method method, std::string path, std::size_t body_max,
                                        http::Response (Api::*handle)(const http::Request&)) {
    router.add(method, std::move(path),
               admin_route(authenticator, body_max,
                           [api, handle](const http::Request& request) { return (api->*handle)(request); }));
  };
}

// What the database's failure means for an operator. kNotFound: 404 `code_not_found` about `param`;
// kConflict: 409; kInvalid: 400.
http::Response admin_failure(const Error& error, std::string_view not_found_code,
                             std::string_view not_found_message, std::string_view conflict_code = "conflict");

}  // namespace sluice::producer
