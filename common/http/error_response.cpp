#include "common/http/error_response.h"

#include <nlohmann/json.hpp>
#include <string>

#include "common/http/body_json.h"

namespace sluice::http {

Response error_response(int status, std::string_view type, std::string_view code, std::string_view message,
                        std::optional<std::string_view> param) {
  return error_response(status, type, code, message, param, nlohmann::json::object());
}

Response error_response(int status, std::string_view type, std::string_view code, std::string_view message,
                        std::optional<std::string_view> param, const nlohmann::json& extra) {
  nlohmann::json body = extra.is_object() ? extra : nlohmann::json::object();
  body["error"] = {{"message", message},
                   {"type", type},
                   {"param", param ? nlohmann::json(*param) : nlohmann::json(nullptr)},
                   {"code", code}};
  body["type"] = "urn:sluice:error:" + std::string(code);
  body["title"] = status_reason(status);
  body["status"] = status;
  body["detail"] = message;
  return json_response(status, body);
}

Response busy_response(int status, std::string_view code, std::string_view message, int retry_after_seconds) {
  const std::string_view type = status == 429 ? error_type::kRateLimit : error_type::kUnavailable;
  Response response = error_response(status, type, code, message);
  response.headers.add("Retry-After", std::to_string(std::max(1, retry_after_seconds)));
  return response;
}

}  // namespace sluice::http
