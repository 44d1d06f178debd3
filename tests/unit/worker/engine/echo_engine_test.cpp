#include "worker/engine/echo_engine.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "tests/unit/worker/engine/run_engine.h"

namespace sluice {
namespace {

using testengine::chat;
using testengine::run_all;
using testengine::run_one;

class Echo : public ::testing::Test {
 protected:
  GenerationRequest with_fault(const std::string& key, Fault fault) {
    GenerationRequest request = chat(engine_, key, "hello there");
    request.fault = fault;
    return request;
  }
  GenerationOutcome outcome_of(Fault fault) {
    EXPECT_TRUE(engine_.add(with_fault("f", fault)).has_value());
    return run_all(engine_).at("f").outcome;
  }

  ManualClock clock_;
  EchoEngine engine_{clock_};
};

TEST_F(Echo, AnswersWithTheLastUserMessage) {
  PromptInput input;
  input.messages = {{"system", "be brief"},
                    {"user", "first"},
                    {"assistant", "ok"},
                    {"user", "second  one\n"},
                    {"assistant", "x"}};
  GenerationRequest request;
  request.key = "k";
  request.prompt = *engine_.prepare(input);
  EXPECT_EQ(request.prompt.tokens, 2U);
  const Generation generation = run_one(engine_, std::move(request));
  EXPECT_EQ(generation.text, "second  one\n");
  EXPECT_EQ(generation.finish_reason, FinishReason::kStop);
  EXPECT_EQ(generation.usage.prompt_tokens, 2U);
  EXPECT_EQ(generation.usage.completion_tokens, 2U);
}

TEST_F(Echo, AnswersWithTheRawPromptWhereThereAreNoMessages) {
  GenerationRequest request;
  request.prompt = *engine_.prepare({.messages = {}, .raw = "raw text"});
  EXPECT_EQ(run_one(engine_, std::move(request)).text, "raw text");
}

TEST_F(Echo, MaxTokensCutsBetweenWords) {
  SamplingParams params;
  params.max_tokens = 2;
  const Generation cut = run_one(engine_, chat(engine_, "a", " one\ttwo three", params));
  EXPECT_EQ(cut.text, " one\ttwo");
  EXPECT_EQ(cut.finish_reason, FinishReason::kLength);
  const Generation whole = run_one(engine_, chat(engine_, "a", "one two ", params));
  EXPECT_EQ(whole.text, "one two ");
  EXPECT_EQ(whole.finish_reason, FinishReason::kStop);
}

TEST_F(Echo, StopStringsEndTheText) {
  SamplingParams params;
  params.stop = {"three", "tw"};
  const Generation generation = run_one(engine_, chat(engine_, "a", "one two three", params));
  EXPECT_EQ(generation.text, "one ");
  EXPECT_EQ(generation.finish_reason, FinishReason::kStop);
}

TEST_F(Echo, TextIsMadeValidUtf8) {
  EXPECT_EQ(run_one(engine_, chat(engine_, "a", "a\xFFz")).text, "a\xEF\xBF\xBDz");
}

TEST_F(Echo, ATransientFaultFailsTheFirstAttemptUnlessToldOtherwise) {
  EXPECT_EQ(outcome_of({.kind = FaultKind::kTransient}).error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(outcome_of({.kind = FaultKind::kTransient, .attempt = 2}).has_value());
  EXPECT_FALSE(outcome_of({.kind = FaultKind::kTransient, .attempts = 3, .attempt = 3}).has_value());
  EXPECT_TRUE(outcome_of({.kind = FaultKind::kTransient, .attempts = 3, .attempt = 4}).has_value());
  EXPECT_TRUE(outcome_of({.kind = FaultKind::kTransient, .attempts = 0}).has_value());
}

TEST_F(Echo, APermanentFaultFailsAllAttempts) {
  EXPECT_EQ(outcome_of({.kind = FaultKind::kPermanent}).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(outcome_of({.kind = FaultKind::kPermanent, .attempt = 9}).error().code, ErrorCode::kInvalid);
  EXPECT_TRUE(outcome_of({.kind = FaultKind::kPermanent, .attempts = 1, .attempt = 2}).has_value());
}

TEST_F(Echo, ACrashKillsTheProcess) {
  EXPECT_EXIT(outcome_of({.kind = FaultKind::kCrash}), ::testing::KilledBySignal(SIGKILL), "");
  EXPECT_TRUE(outcome_of({.kind = FaultKind::kCrash, .attempts = 1, .attempt = 2}).has_value());
}

TEST_F(Echo, ASlowOneHoldsUpNobodyElse) {
  ASSERT_TRUE(engine_.add(with_fault("slow", {.kind = FaultKind::kSlow, .ms = 500})).has_value());
  ASSERT_TRUE(engine_.add(chat(engine_, "fast", "hi")).has_value());
  const auto events = engine_.step(std::chrono::hours(1));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].key, "fast");
  EXPECT_TRUE(engine_.step(Duration::zero()).empty());
  clock_.advance(std::chrono::milliseconds(249));
  EXPECT_TRUE(engine_.step(Duration::zero()).empty());
  clock_.advance(std::chrono::milliseconds(1));
  const auto half = engine_.step(std::chrono::hours(1));
  ASSERT_EQ(half.size(), 1U);
  EXPECT_EQ(half[0].text_delta, "hello");
  EXPECT_EQ(half[0].tokens, 1U);
  EXPECT_FALSE(half[0].done.has_value());
  clock_.advance(std::chrono::milliseconds(249));
  EXPECT_TRUE(engine_.step(Duration::zero()).empty());
  clock_.advance(std::chrono::milliseconds(1));
  const auto late = engine_.step(std::chrono::hours(1));
  ASSERT_EQ(late.size(), 1U);
  EXPECT_EQ(late[0].key, "slow");
  ASSERT_TRUE(late[0].done->has_value());
  EXPECT_EQ(late[0].text_delta, " there");
  EXPECT_EQ((*late[0].done)->text, "hello there");
}

TEST_F(Echo, StepWaitsForASlowOneButNotLongerThanAsked) {
  SystemClock system;
  EchoEngine engine(system);
  GenerationRequest request = chat(engine, "slow", "hi");
  request.fault = Fault{.kind = FaultKind::kSlow, .ms = 30};
  const SteadyTime begin = system.steady_now();
  ASSERT_TRUE(engine.add(std::move(request)).has_value());
  engine.step(std::chrono::milliseconds(1));
  std::size_t steps = 0;
  while (engine.active() > 0) {
    engine.step(std::chrono::seconds(10));
    ++steps;
  }
  EXPECT_GE(system.steady_now() - begin, std::chrono::milliseconds(30));
  EXPECT_LE(steps, 5U);  // It slept rather than spun.
}

TEST_F(Echo, ACancelledSlowOneEndsAtOnce) {
  ASSERT_TRUE(engine_.add(with_fault("slow", {.kind = FaultKind::kSlow, .ms = 500})).has_value());
  engine_.cancel("slow");
  const auto events = engine_.step(std::chrono::hours(1));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ((*events[0].done)->finish_reason, FinishReason::kCancelled);
}

}  // namespace
}  // namespace sluice
