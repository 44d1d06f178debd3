#include "worker/consumer/job_end.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/worker/batcher/scripted_engine.h"
#include "worker/consumer/held_jobs.h"

namespace sluice::worker {
namespace {

ClaimedJob claimed(const std::string& request_json) {
  ClaimedJob job;
  job.ref = {JobId{"job_x"}, 2, 3};
  job.model = "m";
  job.tenant.value = "t";
  job.request_json = request_json;
  return job;
}

TEST(FailureOf, TheRequestsOwnFaultIsPermanent) {
  const Failed failed = failure_of({ErrorCode::kInvalid, "temperature must be at least 0"});
  EXPECT_TRUE(failed.permanent);
  EXPECT_EQ(failed.error.code, "invalid_request");
  EXPECT_EQ(failed.error.type, "invalid_request_error");
  EXPECT_EQ(failed.error.message, "temperature must be at least 0");
}

TEST(FailureOf, ATooLongPromptIsNamed) {
  const Failed failed = failure_of({ErrorCode::kInvalid, "The prompt has 90 tokens, the context holds 64."});
  EXPECT_TRUE(failed.permanent);
  EXPECT_EQ(failed.error.code, "context_length_exceeded");
}

TEST(FailureOf, EverythingElseIsThisAttempts) {
  for (const ErrorCode code : {ErrorCode::kUnavailable, ErrorCode::kCorrupt, ErrorCode::kInternal,
                               ErrorCode::kExhausted, ErrorCode::kDeadline}) {
    const Failed failed = failure_of({code, "x"});
    EXPECT_FALSE(failed.permanent) << error_code_name(code);
    EXPECT_EQ(failed.error.type, "server_error");
    EXPECT_FALSE(failed.error.code.empty());
  }
}

TEST(EndOf, AGenerationBecomesTheResultThatClientsSee) {
  Completion completion;
  completion.key = "k";
  completion.how = Generation{"text", {1, 2}, FinishReason::kLength, {5, 2}};
  const JobEnd end = end_of(std::move(completion));
  EXPECT_EQ(end.key, "k");
  const JobResult& result = std::get<Succeeded>(end.how).result;
  EXPECT_EQ(result, (JobResult{"text", "", "length", 5, 2}));
}

TEST(EndOf, ThoughtsLogprobsAndDetailsOfUsageComeAlong) {
  Generation generation;
  generation.text = "é";
  generation.reasoning = "hm";
  generation.usage = {.prompt_tokens = 9, .completion_tokens = 4, .cached_tokens = 8, .reasoning_tokens = 2};
  generation.logprobs = {{"\xC3", -0.5F, {{"\xC3", -0.5F}, {"x", -1.0F}}}, {"\xA9", 0.0F, {}}};
  Completion completion;
  completion.how = std::move(generation);
  const JobEnd end = end_of(std::move(completion));
  const JobResult& result = std::get<Succeeded>(end.how).result;
  EXPECT_EQ(result.reasoning_content, "hm");
  EXPECT_EQ(result.cached_tokens, 8);
  EXPECT_EQ(result.reasoning_tokens, 2);
  EXPECT_EQ(nlohmann::json::parse(result.logprobs_json), nlohmann::json::parse(R"({"content": [
    {"token": "\ufffd", "logprob": -0.5, "bytes": [195], "top_logprobs": [
      {"token": "\ufffd", "logprob": -0.5, "bytes": [195]}, {"token": "x", "logprob": -1.0, "bytes": [120]}]},
    {"token": "\ufffd", "logprob": 0.0, "bytes": [169], "top_logprobs": []}]})"));
}

TEST(EndOf, GivenBackIsReleasedAndCancelledIsDropped) {
  EXPECT_TRUE(std::holds_alternative<Released>(end_of({"k", GivenBack{}}).how));
  EXPECT_TRUE(std::holds_alternative<Dropped>(end_of({"k", Cancelled{}}).how));
  EXPECT_TRUE(std::get<Failed>(end_of({"k", Error{ErrorCode::kInvalid, "m"}}).how).permanent);
}

TEST(PrepareWork, TakesPromptParametersFaultAndAttempt) {
  ScriptedEngine engine;
  const auto work =
      prepare_work(engine, claimed(R"({"prompt":"hello","parameters":{"max_tokens":7,"temperature":0.5,
      "top_p":0.9,"top_k":3,"min_p":0.1,"seed":11,"stop":["x"],"presence_penalty":0.25,"frequency_penalty":0.5,
      "repetition_penalty":1.5,"logprobs":true,"top_logprobs":2,"fault":"slow","fault_ms":40,"fault_attempts":2}})"),
                   false);
  ASSERT_TRUE(work.has_value()) << work.error().message;
  EXPECT_EQ(work->request.key, start_key({JobId{"job_x"}, 2, 3}));
  EXPECT_EQ(work->request.prompt.text, "hello");
  EXPECT_EQ(work->kv_tokens, 12U);
  const SamplingParams& params = work->request.params;
  EXPECT_EQ(params.max_tokens, 7);
  EXPECT_FLOAT_EQ(params.temperature, 0.5F);
  EXPECT_FLOAT_EQ(params.top_p, 0.9F);
  EXPECT_EQ(params.top_k, 3);
  EXPECT_FLOAT_EQ(params.min_p, 0.1F);
  EXPECT_EQ(params.seed, 11U);
  EXPECT_EQ(params.stop, std::vector<std::string>{"x"});
  EXPECT_FLOAT_EQ(params.presence_penalty, 0.25F);
  EXPECT_FLOAT_EQ(params.frequency_penalty, 0.5F);
  EXPECT_FLOAT_EQ(params.repetition_penalty, 1.5F);
  EXPECT_TRUE(params.logprobs);
  EXPECT_EQ(params.top_logprobs, 2);
  EXPECT_EQ(work->request.scope, "t");
  ASSERT_TRUE(work->request.fault.has_value());
  EXPECT_EQ(work->request.fault->kind, FaultKind::kSlow);
  EXPECT_EQ(work->request.fault->ms, 40);
  EXPECT_EQ(work->request.fault->attempts, 2);
  EXPECT_EQ(work->request.fault->attempt, 3);
}

TEST(PrepareWork, EachAttemptOfAJobWithoutASeedSamplesAlike) {
  ScriptedEngine engine;
  const auto seed = [&](const TaskRef& ref) {
    ClaimedJob job = claimed(R"({"prompt":"x","parameters":{"temperature":1}})");
    job.ref = ref;
    return prepare_work(engine, job, false)->request.params.seed.value();
  };
  const std::uint64_t first = seed({JobId{"job_x"}, 1, 1});
  EXPECT_EQ(seed({JobId{"job_x"}, 1, 2}), first);
  EXPECT_NE(seed({JobId{"job_x"}, 2, 1}), first);
  EXPECT_NE(seed({JobId{"job_y"}, 1, 1}), first);
}

TEST(PrepareWork, OnlyADeepQueueMovesAJobAndOnlyOneThatAllowsIt) {
  ScriptedEngine engine;
  const auto fast = [&](const char* parameters, bool queue_deep) {
    const auto work = prepare_work(
        engine, claimed(R"({"prompt":"x","parameters":)" + std::string(parameters) + "}"), queue_deep);
    return work->request.fast;
  };
  EXPECT_TRUE(fast(R"({"precision":"adaptive"})", true));
  EXPECT_FALSE(fast(R"({"precision":"adaptive"})", false));
  EXPECT_FALSE(fast(R"({"precision":"full"})", true));
  EXPECT_FALSE(fast("{}", true));
}

TEST(PrepareWork, WhatCanNeverSucceedIsInvalid) {
  ScriptedEngine engine;
  const std::string long_prompt = R"({"prompt":")" + std::string(1000, 'a') + R"("})";
  for (const std::string& json : {std::string("{"), std::string("[]"), std::string(R"({"parameters":{}})"),
                                  std::string(R"({"prompt":7})"), long_prompt,
                                  std::string(R"({"prompt":"a","parameters":{"top_p":-1}})")}) {
    const auto work = prepare_work(engine, claimed(json), false);
    ASSERT_FALSE(work.has_value()) << json.substr(0, 60);
    EXPECT_EQ(work.error().code, ErrorCode::kInvalid);
  }
  EXPECT_EQ(failure_of(prepare_work(engine, claimed(long_prompt), false).error()).error.code,
            "context_length_exceeded");
}

}  // namespace
}  // namespace sluice::worker
