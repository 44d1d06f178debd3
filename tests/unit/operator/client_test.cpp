#include <gtest/gtest.h>

#include <cerrno>

#include "operator/client/http_admin_api.h"
#include "operator/client/refusal.h"
#include "tests/unit/operator/fake_api.h"

namespace sluice::operate {
namespace {

using nlohmann::json;
using ::testing::Test;

const ApiRequest kGet{"GET", "/v1/admin/status", {}, nullptr};
const ApiRequest kPost{"POST", "/v1/admin/dead_letters/redrive", {}, json::object()};

std::string refusal(const std::string& code, const std::string& message, json more = json::object()) {
  more["error"] = {{"code", code}, {"message", message}, {"type", "t"}, {"param", nullptr}};
  return more.dump();
}

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Refusals, SayWhatToDoNext) {
  struct Case {
    int status;
    std::string code;
    ErrorCode kind;
    std::string advice;
  };
  const Case cases[] = {
      {401, "invalid_api_key", ErrorCode::kInternal, "SLUICE_ADMIN_KEY"},
      {403, "insufficient_scope", ErrorCode::kInternal, "keys create --scope admin"},
      {404, "route_not_found", ErrorCode::kNotFound, "--version"},
      {404, "dead_letter_not_found", ErrorCode::kNotFound, "dlq list --each"},
      {404, "worker_not_found", ErrorCode::kNotFound, "sluicectl workers"},
      {409, "redriven_too_often", ErrorCode::kConflict, "--force"},
      {409, "operation_over", ErrorCode::kConflict, "dlq operations"},
      {503, "database_unavailable", ErrorCode::kUnavailable, "try again in 5 s"},
      {503, "outcome_unknown", ErrorCode::kOutcomeUnknown, "before you repeat it"},
  };
  for (const Case& c : cases) {
    const Error error = refusal_error(kGet, c.status, refusal(c.code, "What it was."), "5", "http://h");
    EXPECT_EQ(error.code, c.kind) << c.code;
    EXPECT_TRUE(error.message.starts_with("What it was. (" + c.code + ")")) << error.message;
    EXPECT_TRUE(holds(error.message, c.advice)) << error.message;
  }
}

TEST(Refusals, NameEveryFieldAtFault) {
  const json more = {{"errors",
                      {{{"field", "filter.reason"}, {"message", "must be poison"}, {"code", "x"}},
                       {{"field", "rate"}, {"message", "must be above 0"}, {"code", "x"}}}}};
  const Error error =
      refusal_error(kPost, 400, refusal("invalid_value", "filter.reason must be poison.", more), "", "h");
  EXPECT_EQ(error.code, ErrorCode::kInvalid);
  EXPECT_TRUE(holds(error.message, "\n  rate must be above 0")) << error.message;
}

TEST(Refusals, TextOfTheServerCannotReachTheTerminal) {
  const Error error = refusal_error(kGet, 409, refusal("c\x1b[1m", "m\x1b]0;title\x07\n"), "1\x1b", "h");
  EXPECT_EQ(error.message, "m\\x1b]0;title\\x07\\n (c\\x1b[1m)");
  const Error busy = refusal_error(kGet, 503, refusal("busy", "Busy."), "1\x1b", "h");
  EXPECT_EQ(busy.message.find('\x1b'), std::string::npos);
}

TEST(Refusals, SomebodyElsesAnswerIsKnownAsThat) {
  for (const char* body : {"<html>not found</html>", "", "[]", "{\"error\": \"no\"}", "{\"error\": {}}"}) {
    for (const int status : {302, 400, 404, 500}) {
      const Error error = refusal_error(kGet, status, body, "", "http://h:1");
      EXPECT_TRUE(
          holds(error.message, "GET /v1/admin/status was answered with status " + std::to_string(status)))
          << error.message;
      EXPECT_TRUE(holds(error.message, "Is http://h:1 the address of one?"));
      EXPECT_NE(error.code, ErrorCode::kInvalid);
    }
  }
}

TEST(Refusals, AProxyWithoutAProducerIsNoCertainFailure) {
  for (const int status : {502, 504}) {
    EXPECT_EQ(refusal_error(kGet, status, "<html>", "", "h").code, ErrorCode::kUnavailable);
    const Error unknown = refusal_error(kPost, status, "<html>", "", "h");
    EXPECT_EQ(unknown.code, ErrorCode::kOutcomeUnknown);
    EXPECT_TRUE(holds(unknown.message, "status " + std::to_string(status))) << unknown.message;
    EXPECT_TRUE(holds(unknown.message, "Look before you repeat it")) << unknown.message;
  }
}

TEST(Silence, ANameWithoutAddressIsNotAnAnswerCutShort) {
  EXPECT_EQ(silence_error(kPost, 1, "Error resolving address", "h").code, ErrorCode::kUnavailable);
  EXPECT_EQ(silence_error(kPost, 2, "Error resolving address", "h").code, ErrorCode::kUnavailable);
  EXPECT_EQ(silence_error(kPost, 1, "Failed to read HTTP status line", "h").code, ErrorCode::kOutcomeUnknown);
}

TEST(Silence, IsOnlyHarmlessWhereNothingWasSent) {
  EXPECT_EQ(silence_error(kPost, EHOSTUNREACH, "refused", "h").code, ErrorCode::kUnavailable);
  EXPECT_EQ(silence_error(kGet, ETIMEDOUT, "late", "h").code, ErrorCode::kUnavailable);
  const Error unknown = silence_error(kPost, ETIMEDOUT, "late", "h");
  EXPECT_EQ(unknown.code, ErrorCode::kOutcomeUnknown);
  EXPECT_TRUE(holds(unknown.message, "--timeout"));
  EXPECT_TRUE(holds(unknown.message, "sluicectl audit"));
}

TEST(HttpAdminApi, RefusesAddressesAndKeysThatAreNone) {
  const auto why = [](const std::string& url, const std::string& key) {
    const auto api = HttpAdminApi::open({url, Secret(key), std::chrono::milliseconds(1000)});
    if (api) return std::string("opened");
    EXPECT_EQ(api.error().code, ErrorCode::kInvalid);
    EXPECT_TRUE(key.empty() || !holds(api.error().message, key)) << "the key is shown";
    return api.error().message;
  };
  EXPECT_TRUE(holds(why("", "sk_1"), "SLUICE_URL"));
  EXPECT_TRUE(holds(why("http://h", ""), "SLUICE_ADMIN_KEY"));
  EXPECT_TRUE(holds(why("http://h", "sk_1\nX: y"), "characters that no key has"));
  for (const char* url :
       {"ftp://h", "nonsense", "http://", "http://user:pw@h", "http://h:99999999", "\x1b[1m"}) {
    const std::string message = why(url, "sk_1");
    EXPECT_TRUE(holds(message, "--url")) << url << ": " << message;
    EXPECT_EQ(message.find('\x1b'), std::string::npos);
  }
}

TEST(PathPart, EncodesWhatHasAMeaningInPaths) {
  EXPECT_EQ(path_part("job_01-a.b~"), "job_01-a.b~");
  EXPECT_EQ(path_part("a/b?c#d e%\n"), "a%2Fb%3Fc%23d%20e%25%0A");
  EXPECT_EQ(path_part("ü"), "%C3%BC");
}

json page(int from, int count, bool more) {
  json data = json::array();
  for (int i = from; i < from + count; ++i) data.push_back({{"id", std::to_string(i)}});
  return {{"data", data}, {"has_more", more}, {"last_id", std::to_string(from + count - 1)}};
}

TEST(GetList, GoesOnUntilThereAreEnough) {
  testing::FakeApi api;
  api.answer("GET /l", page(0, 100, true));
  api.answer("GET /l", page(100, 50, true));
  const auto list = get_list(api, "/l", {{"status", "dead"}, {"after", "before"}}, 150);
  ASSERT_TRUE(list) << list.error().message;
  EXPECT_EQ((*list)["data"].size(), 150U);
  EXPECT_EQ((*list)["last_id"], "149");
  EXPECT_EQ((*list)["has_more"], true);
  ASSERT_EQ(api.requests.size(), 2U);
  EXPECT_EQ(testing::query_text(api.requests[0]), "status=dead&after=before&limit=100");
  EXPECT_EQ(testing::query_text(api.requests[1]), "status=dead&limit=50&after=99");
}

TEST(GetList, AllMeansAll) {
  testing::FakeApi api;
  api.answer("GET /l", page(0, 100, true));
  api.answer("GET /l", page(100, 100, true));
  api.answer("GET /l", page(200, 1, false));
  EXPECT_EQ((*get_list(api, "/l", {}, 0))["data"].size(), 201U);
}

TEST(GetList, AServerThatRepeatsAPageDoesNotHoldUsForEver) {
  testing::FakeApi api;
  api.answer("GET /l", page(0, 100, true));
  EXPECT_EQ((*get_list(api, "/l", {}, 0))["data"].size(), 200U);
  testing::FakeApi odd;
  odd.answer("GET /l", json{{"object", "status"}});
  EXPECT_EQ(get_list(odd, "/l", {}, 0).error().code, ErrorCode::kInternal);
}

}  // namespace
}  // namespace sluice::operate
