#include "producer/admin/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::producer {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ReplayTest : public ::testing::Test {
 protected:
  ReplayTest() {
    models_.add(make_echo_model());
    letter_.job.model = "echo";
    letter_.job.priority = Priority::kLow;
    letter_.job.created_us = 1'700'000'000'000'000;
    letter_.job.expires_us = letter_.job.created_us + 7'200'000'000;
    letter_.job.callback_url = "https://example.org/hook";
    letter_.job.metadata_json = R"({"order":"42"})";
    JobRequest request;
    request.prompt = "one two";
    request.parameters.fault = RequestFault{RequestFaultKind::kPermanent, 2, 0};
    request.parameters.seed = 7;
    request.parameters.max_tokens = 11;
    letter_.request_json = job_request_to_json(request);
  }
  std::string wrong(const std::string& body) {
    const auto replay = read_replay(body, letter_, models_);
    return replay ? "" : replay.error().param + ": " + replay.error().code;
  }

  ModelCatalog models_;
  DeadLetterDetail letter_;
};

TEST_F(ReplayTest, WhatIsNotChangedStays) {
  const auto replay = read_replay(R"({"changes": {"prompt": "three"}})", letter_, models_);
  ASSERT_TRUE(replay.has_value()) << replay.error().message;
  const JobSpec& spec = replay->spec;
  EXPECT_EQ(spec.request.prompt, "three");
  EXPECT_EQ(spec.request.parameters.max_tokens, 11);
  EXPECT_EQ(spec.request.parameters.seed, 7);
  ASSERT_TRUE(spec.request.parameters.fault.has_value());
  EXPECT_EQ(spec.request.parameters.fault->attempts, 2);
  EXPECT_EQ(spec.priority, Priority::kLow);
  EXPECT_EQ(spec.expires_in_s, 7'200);
  EXPECT_EQ(spec.callback_url, "https://example.org/hook");
  EXPECT_EQ(spec.metadata_json, R"({"order":"42"})");
  EXPECT_EQ(spec.model->name(), "echo");
  EXPECT_EQ(spec.prompt_tokens, 1);
  EXPECT_THAT(replay->changed, ElementsAre("prompt"));
}

TEST_F(ReplayTest, ARedrivenJobsTimeIsThatOfItsLastRedrive) {
  letter_.letter.generation = 3;
  letter_.earlier.resize(2);
  letter_.earlier[0].expires_in_s = 60;
  letter_.earlier[1].expires_in_s = 90;
  auto replay = read_replay(R"({"changes": {"prompt": "three"}})", letter_, models_);
  ASSERT_TRUE(replay.has_value()) << replay.error().message;
  EXPECT_EQ(replay->spec.expires_in_s, 90);
  replay = read_replay(R"({"changes": {"expires_in": 5}})", letter_, models_);
  ASSERT_TRUE(replay.has_value()) << replay.error().message;
  EXPECT_EQ(replay->spec.expires_in_s, 5);
}

TEST_F(ReplayTest, NullTakesAMemberAway) {
  const auto replay = read_replay(
      R"({"changes": {"callback_url": null, "parameters": {"fault": null, "fault_attempts": null}}})",
      letter_, models_);
  ASSERT_TRUE(replay.has_value()) << replay.error().message;
  EXPECT_THAT(replay->spec.callback_url, IsEmpty());
  EXPECT_FALSE(replay->spec.request.parameters.fault.has_value());
  EXPECT_EQ(replay->spec.request.parameters.max_tokens, 11);
  EXPECT_THAT(replay->changed, ElementsAre("callback_url", "parameters"));
}

TEST_F(ReplayTest, MessagesReplaceAPromptAndTheReverse) {
  auto replay =
      read_replay(R"({"changes": {"messages": [{"role": "user", "content": "hi"}]}})", letter_, models_);
  ASSERT_TRUE(replay.has_value()) << replay.error().message;
  ASSERT_EQ(replay->spec.request.messages.size(), 1U);
  EXPECT_THAT(replay->spec.request.prompt, IsEmpty());
  letter_.request_json = job_request_to_json(replay->spec.request);
  replay = read_replay(R"({"changes": {"prompt": "back"}})", letter_, models_);
  ASSERT_TRUE(replay.has_value()) << replay.error().message;
  EXPECT_THAT(replay->spec.request.messages, IsEmpty());
  EXPECT_EQ(replay->spec.request.prompt, "back");
}

TEST_F(ReplayTest, TheSameRequestAgainIsARedrive) {
  EXPECT_EQ(wrong(R"({"changes": {"promt": null}})"), "changes: invalid_value") << "there is no such member";
  EXPECT_EQ(wrong(R"({"changes": {"model": "echo"}})"), "changes: invalid_value");
  EXPECT_EQ(wrong(R"({"changes": {"prompt": "one two", "parameters": {"seed": 7}}})"),
            "changes: invalid_value");
  EXPECT_EQ(wrong(R"({"changes": {"prompt": "one two", "parameters": {"seed": 8}}})"), "");
  JobRequest chat;
  chat.messages.push_back({"user", "hi"});
  letter_.request_json = job_request_to_json(chat);
  EXPECT_EQ(wrong(R"({"changes": {"messages": [{"role": "user", "content": "hi"}]}})"),
            "changes: invalid_value");
  EXPECT_EQ(wrong(R"({"changes": {"messages": [{"role": "user", "content": "ho"}]}})"), "");
}

TEST_F(ReplayTest, CorrectionsAreCheckedLikeANewRequest) {
  EXPECT_EQ(wrong(R"({"changes": {"parameters": {"temperature": 9}}})"),
            "parameters.temperature: out_of_range");
  EXPECT_EQ(wrong(R"({"changes": {"promt": "x"}})"), "promt: unknown_field");
  EXPECT_EQ(wrong(R"({"changes": {"model": "none"}})"), "model: model_not_found");
  EXPECT_EQ(wrong(R"({"changes": {"requests": [{"prompt": "x"}]}})").empty(), false);
  EXPECT_EQ(wrong(R"({"changes": {}})"), "changes: invalid_type");
  EXPECT_EQ(wrong("{}"), "changes: missing_field");
  EXPECT_EQ(wrong(R"({"change": {}})"), "change: unknown_field");
  EXPECT_EQ(wrong("[]"), ": invalid_type");
  letter_.request_json = "not json";
  EXPECT_EQ(wrong(R"({"changes": {"prompt": "x"}})"), ": not_replayable");
}

}  // namespace
}  // namespace sluice::producer
