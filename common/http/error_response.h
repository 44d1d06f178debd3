// Error answers: the OpenAI error object and the members of problem+json (RFC 9457) in one.
//
//   {"error": {"message", "type", "param", "code"}, "type", "title", "status", "detail"}
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

#include "common/http/message.h"

namespace sluice::http {

// Values of `error.type` that OpenAI's clients know.
namespace error_type {
inline constexpr std::string_view kInvalidRequest = "invalid_request_error";
inline constexpr std::string_view kAuthentication = "authentication_error";
inline constexpr std::string_view kPermission = "permission_error";
inline constexpr std::string_view kNotFound = "not_found_error";
inline constexpr std::string_view kConflict = "conflict_error";
inline constexpr std::string_view kRateLimit = "rate_limit_error";
inline constexpr std::string_view kUnavailable = "service_unavailable_error";
inline constexpr std::string_view kServer = "server_error";
}  // namespace error_type

// `code` is what programs look at ("model_not_found"), `message` what people read, `param` the field at
// fault. None of them needs to be valid UTF-8: what isn't is replaced.
Response error_response(int status, std::string_view type, std::string_view code, std::string_view message,
                        std::optional<std::string_view> param = std::nullopt);

// The same with further top-level members ("errors", "job_ids"); `extra` is an object.
Response error_response(int status, std::string_view type, std::string_view code, std::string_view message,
                        std::optional<std::string_view> param, const nlohmann::json& extra);

// 503 or 429 with Retry-After in whole seconds (at least 1).
Response busy_response(int status, std::string_view code, std::string_view message, int retry_after_seconds);

}  // namespace sluice::http
