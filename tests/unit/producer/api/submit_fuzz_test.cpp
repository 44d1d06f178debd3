// Whatever comes as a body: an answer, never a crash, and all or nothing.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/base/rng.h"
#include "producer/api/answers.h"
#include "producer/api/submit_request.h"

namespace sluice::producer {
namespace {

const char* const kSeeds[] = {
    R"({"prompt": "2+2=", "raw": true, "parameters": {"max_tokens": 3, "stop": ["a", "b"], "seed": 7}})",
    R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "é\u0000"}]}], "priority": "low"})",
    R"({"requests": [{"prompt": "x", "metadata": {"k": "v"}}, {"prompt": "y"}], "model": "echo", "expires_in": 5})",
    R"({"prompt": "x", "callback_url": "https://h:1/x", "parameters": {"fault": "slow", "fault_ms": 5}})",
};
const char* const kPieces[] = {"null",
                               "true",
                               "-1",
                               "1e308",
                               "9223372036854775808",
                               "\"\"",
                               "[]",
                               "{}",
                               "[[[[",
                               "\\u0",
                               "\"",
                               "\xff",
                               "\xe2\x82",
                               "\0",
                               ",",
                               ":",
                               "}",
                               "1e999",
                               "0.5",
                               "{\"a\":",
                               "\"requests\":",
                               "\\ud800",
                               "//",
                               "NaN"};

TEST(SubmitFuzz, EveryBodyGetsAnAnswer) {
  ModelCatalog models;
  models.add(make_echo_model());
  SeededRng rng(20240229);
  int accepted = 0;
  for (int round = 0; round < 6'000; ++round) {
    std::string body = kSeeds[rng.next() % std::size(kSeeds)];
    for (std::uint64_t edits = rng.next() % 4; edits > 0; --edits) {
      const std::size_t at = rng.next() % (body.size() + 1);
      switch (rng.next() % 4) {
        case 0:
          body.insert(at, kPieces[rng.next() % std::size(kPieces)]);
          break;
        case 1:
          body.erase(at, rng.next() % 8);
          break;
        case 2:
          if (at < body.size()) body[at] = static_cast<char>(rng.next());
          break;
        default:
          body = body.substr(0, at) + body.substr(rng.next() % (body.size() + 1));
      }
      if (body.empty()) body = "{";
    }
    SCOPED_TRACE("round " + std::to_string(round));
    const auto parsed = parse_submit(body, models);
    if (parsed) {
      ++accepted;
      ASSERT_FALSE(parsed->jobs.empty());
      for (const JobSpec& spec : parsed->jobs) {
        ASSERT_NE(spec.model, nullptr);
        // What is stored can be read back.
        ASSERT_EQ(job_request_from_json(job_request_to_json(spec.request)).value(), spec.request);
      }
    } else {
      const http::Response answer = refusal_answer(parsed.error());
      ASSERT_GE(answer.status, 400);
      ASSERT_LT(answer.status, 500);
      const auto json = nlohmann::json::parse(answer.body, nullptr, false);
      ASSERT_TRUE(json["error"]["message"].is_string());
    }
  }
  EXPECT_GT(accepted, 300);
}

}  // namespace
}  // namespace sluice::producer
