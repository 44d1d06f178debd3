#include "common/job/request.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using nlohmann::json;

JobRequest full() {
  JobRequest request;
  request.messages = {{"system", "Be brief."}, {"user", "Hi \"you\"\n"}};
  request.parameters.max_tokens = 7;
  request.parameters.temperature = 0.7;
  request.parameters.top_p = 0.9;
  request.parameters.top_k = 40;
  request.parameters.min_p = 0.05;
  request.parameters.seed = std::numeric_limits<std::int64_t>::min();
  request.parameters.stop = {"\n", "END"};
  request.parameters.presence_penalty = -1;
  request.parameters.frequency_penalty = 0.5;
  request.parameters.repetition_penalty = 1.1;
  request.parameters.logprobs = true;
  request.parameters.top_logprobs = 5;
  request.parameters.precision = RequestPrecision::kAdaptive;
  request.parameters.stream = true;
  request.parameters.fault = RequestFault{RequestFaultKind::kSlow, 3, 1500};
  return request;
}

TEST(StoredRequest, ComesBackAsItWas) {
  EXPECT_EQ(job_request_from_json(job_request_to_json(full())).value(), full());
  JobRequest prompt;
  prompt.prompt = "2+2=";
  prompt.raw = true;
  prompt.echo_json = R"({"instructions":"Be brief."})";
  EXPECT_EQ(job_request_from_json(job_request_to_json(prompt)).value(), prompt);
}

TEST(StoredRequest, HoldsEveryDefault) {
  JobRequest request;
  request.prompt = "x";
  const json text = json::parse(job_request_to_json(request));
  EXPECT_EQ(text["raw"], false);
  for (const char* name :
       {"max_tokens", "temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty",
        "repetition_penalty", "logprobs", "top_logprobs", "precision"}) {
    EXPECT_TRUE(text["parameters"].contains(name)) << name;
  }
  EXPECT_FALSE(text.contains("messages"));
}

TEST(StoredRequest, IsReadLenientlyFromOtherVersions) {
  const auto newer = job_request_from_json(
      R"({"prompt": "x", "tools": [], "parameters": {"temperature": 1, "mirostat": 2, "fault": "newer-kind",
      "precision": "newer-kind"}})");
  ASSERT_TRUE(newer.has_value());
  EXPECT_EQ(newer->parameters.temperature, 1);
  EXPECT_FALSE(newer->parameters.fault.has_value());
  EXPECT_EQ(newer->parameters.precision, RequestPrecision::kFull);
  const auto older = job_request_from_json(R"({"prompt": "x"})");
  ASSERT_TRUE(older.has_value());
  EXPECT_EQ(older->parameters, JobParameters{});
}

TEST(StoredRequest, BrokenOnesAreCorruptAndNotQuoted) {
  for (const char* text :
       {"", "{", "[]", "null", "\"secret\"", "{}", R"({"prompt": 5})", R"({"messages": []})",
        R"({"messages": "secret"})", R"({"messages": [{"role": "user"}]})", R"({"messages": [["secret"]]})",
        R"({"prompt": "x", "parameters": {"max_tokens": "secret"}})",
        R"({"prompt": "x", "parameters": {"stop": "secret"}})", R"({"prompt": "x", "raw": "secret"})"}) {
    const auto request = job_request_from_json(text);
    ASSERT_FALSE(request.has_value()) << text;
    EXPECT_EQ(request.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(request.error().message.find("secret"), std::string::npos) << request.error().message;
  }
}

}  // namespace
}  // namespace sluice
