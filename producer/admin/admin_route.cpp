#include "producer/admin/admin_route.h"

#include <utility>

#include "common/http/error_response.h"
#include "producer/api/answers.h"

namespace sluice::producer {

Actor actor_of(const http::RequestHead& head) {
  const Principal& principal = *head.principal_as<Principal>();
  std::string key = principal.key_name;
  if (!key.empty() && !principal.key_hint.empty()) key += ' ';
  return Actor{principal.tenant, key + principal.key_hint};
}

http::Route admin_route(Authenticator& authenticator, std::size_t body_max,
                        std::function<http::Response(const http::Request&)> handler) {
  http::Route route;
  route.body_max = body_max;
  route.authenticate = authenticator.require(kScopeAdmin);
  route.handler = [handler = std::move(handler)](http::Request request, http::Responder responder) {
    responder.send(handler(request));
  };
  return route;
}

http::Response admin_failure(const Error& error, std::string_view not_found_code,
                             std::string_view not_found_message, std::string_view conflict_code) {
  if (error.code == ErrorCode::kNotFound) {
    return http::error_response(404, http::error_type::kNotFound, not_found_code, not_found_message);
  }
  if (error.code == ErrorCode::kConflict) {
    return http::error_response(409, http::error_type::kConflict, conflict_code, error.message);
  }
  if (error.code == ErrorCode::kInvalid) {
    return http::error_response(400, http::error_type::kInvalidRequest, "not_storable",
                                "The database refused the request's data.");
  }
  return store_failure(error);
}

}  // namespace sluice::producer
