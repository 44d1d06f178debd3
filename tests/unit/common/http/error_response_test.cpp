#include "common/http/error_response.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice::http {
namespace {

TEST(ErrorResponse, IsAnOpenAiErrorAndAProblemInOne) {
  const Response response =
      error_response(404, error_type::kInvalidRequest, "model_not_found", "there is no such model", "model");
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.headers.get("Content-Type"), "application/json");
  EXPECT_EQ(nlohmann::json::parse(response.body), nlohmann::json::parse(R"({
    "error": {"message": "there is no such model", "type": "invalid_request_error", "param": "model",
              "code": "model_not_found"},
    "type": "urn:sluice:error:model_not_found", "title": "Not Found", "status": 404,
    "detail": "there is no such model"})"));
}

TEST(ErrorResponse, TheFieldIsNullIfNoneIsAtFaultAndExtrasStandBeside) {
  const Response response = error_response(400, error_type::kInvalidRequest, "invalid", "bad", std::nullopt,
                                           {{"errors", nlohmann::json::array({1})}, {"status", "mine"}});
  const nlohmann::json body = nlohmann::json::parse(response.body);
  EXPECT_TRUE(body["error"]["param"].is_null());
  EXPECT_EQ(body["errors"][0], 1);
  EXPECT_EQ(body["status"], 400);
}

TEST(ErrorResponse, BrokenTextNeverThrows) {
  const Response response = error_response(400, error_type::kInvalidRequest, "x", "a\xff\xfe b", "p\x80");
  EXPECT_TRUE(nlohmann::json::accept(response.body));
}

TEST(BusyResponse, SaysWhenToComeBack) {
  EXPECT_EQ(busy_response(503, "x", "y", 7).headers.get("Retry-After"), "7");
  EXPECT_EQ(busy_response(429, "x", "y", 0).headers.get("Retry-After"), "1");
}

}  // namespace
}  // namespace sluice::http
