#include "common/job/job.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/job/answer.h"

namespace sluice {
namespace {

constexpr JobState kAll[] = {JobState::kQueued, JobState::kRunning,   JobState::kSucceeded, JobState::kFailed,
                             JobState::kDead,   JobState::kCancelled, JobState::kExpired};

TEST(JobStates, FollowTheTransitionTable) {
  for (const JobState from : kAll) {
    EXPECT_FALSE(can_become(from, from));
    for (const JobState to : kAll) {
      if (is_final(from) && to != JobState::kQueued) {
        EXPECT_FALSE(can_become(from, to));
      }
      if (!is_final(from) && is_final(to)) {
        EXPECT_TRUE(can_become(from, to));
      }
    }
  }
  EXPECT_TRUE(can_become(JobState::kQueued, JobState::kRunning));
  EXPECT_TRUE(can_become(JobState::kRunning, JobState::kQueued));
  EXPECT_TRUE(can_become(JobState::kQueued, JobState::kSucceeded));  // With an equal job's result.
  EXPECT_FALSE(can_become(JobState::kSucceeded, JobState::kQueued));
  EXPECT_TRUE(can_become(JobState::kDead, JobState::kQueued));
}

TEST(JobStates, NamesRoundTrip) {
  for (const JobState state : kAll) EXPECT_EQ(job_state_from(job_state_name(state)), state);
  EXPECT_EQ(job_state_from("Queued"), std::nullopt);
  EXPECT_EQ(priority_from("normal"), Priority::kNormal);
  EXPECT_EQ(priority_from("urgent"), std::nullopt);
  EXPECT_EQ(job_event_type(JobState::kCancelled), "job.cancelled");
}

Job finished_job() {
  Job job;
  job.id.value = "job_01234567-89ab-7cde-8f01-23456789abcd";
  job.tenant.value = "default";
  job.model = "sluice-tiny";
  job.surface = Surface::kChat;
  job.state = JobState::kSucceeded;
  job.attempt = 2;
  job.created_us = 1'700'000'000'900'000;
  job.started_us = 1'700'000'001'000'000;
  job.finished_us = 1'700'000'002'500'000;
  job.expires_us = 1'700'003'600'900'000;
  job.metadata_json = R"({"order":"42"})";
  job.callback_url = "https://example.org/hook";
  job.result = JobResult{"85 \xf0\x9f\x8e\x89", "", "stop", 14, 3};
  return job;
}

TEST(JobJson, HasEveryMemberOfTheContract) {
  const auto out = job_to_json(finished_job());
  EXPECT_EQ(out, nlohmann::json::parse(R"({
    "id": "job_01234567-89ab-7cde-8f01-23456789abcd", "object": "job", "batch_id": null, "model": "sluice-tiny",
    "status": "succeeded", "attempt": 2, "generation": 1, "priority": "normal", "created_at": 1700000000,
    "started_at": 1700000001, "finished_at": 1700000002, "expires_at": 1700003600, "metadata": {"order": "42"},
    "result": {"text": "85 🎉", "reasoning_content": null, "finish_reason": "stop", "precision": null,
               "usage": {"prompt_tokens": 14, "completion_tokens": 3, "total_tokens": 17,
                         "prompt_tokens_details": {"cached_tokens": 0},
                         "completion_tokens_details": {"reasoning_tokens": 0}}},
    "error": null, "leader_id": null})"));
}

TEST(JobJson, WhatIsNotYetIsNull) {
  Job job;
  job.id.value = "job_x";
  job.created_us = 1;
  const auto out = job_to_json(job);
  for (const char* member :
       {"batch_id", "started_at", "finished_at", "expires_at", "metadata", "result", "error", "leader_id"}) {
    EXPECT_TRUE(out.at(member).is_null()) << member;
  }
}

TEST(JobCache, RoundTripsResultAndError) {
  const Job job = finished_job();
  const auto copy = job_from_cache(job_to_cache(job));
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ(job_to_cache(*copy), job_to_cache(job));
  EXPECT_EQ(copy->tenant.value, "default");
  EXPECT_EQ(copy->callback_url, job.callback_url);
  EXPECT_EQ(copy->surface, job.surface);
  EXPECT_EQ(copy->finished_us, job.finished_us);
  Job failed = job;
  failed.state = JobState::kFailed;
  failed.result.reset();
  failed.error = JobError{"context_length_exceeded", "too long", "invalid_request_error", "messages"};
  const auto other = job_from_cache(job_to_cache(failed));
  ASSERT_TRUE(other.has_value());
  EXPECT_EQ(other->error, failed.error);
}

TEST(JobCache, KeepsWhatWasAskedForBesides) {
  Job job = finished_job();
  job.result->reasoning_content = "hm";
  job.result->cached_tokens = 12;
  job.result->reasoning_tokens = 2;
  job.result->precision = "Q8_0";
  job.leader_id.value = "job_of_before";
  job.result->logprobs_json = R"({"content":[{"bytes":[56],"logprob":-0.5,"token":"8","top_logprobs":[]}]})";
  const auto json = job_to_json(job);
  EXPECT_EQ(json["result"]["logprobs"]["content"][0]["token"], "8");
  EXPECT_EQ(json["result"]["precision"], "Q8_0");
  EXPECT_EQ(json["result"]["usage"]["prompt_tokens_details"]["cached_tokens"], 12);
  EXPECT_EQ(json["result"]["usage"]["completion_tokens_details"]["reasoning_tokens"], 2);
  const auto copy = job_from_cache(job_to_cache(job));
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ(copy->result, job.result);
  EXPECT_EQ(copy->leader_id, job.leader_id);
  EXPECT_FALSE(job_to_json(finished_job())["result"].contains("logprobs"));
}

TEST(JobCache, ReadsACopyOfAVersionThatKnewLess) {
  auto old = nlohmann::json::parse(job_to_cache(finished_job()));
  old["result"]["usage"].erase("prompt_tokens_details");
  old["result"]["usage"].erase("completion_tokens_details");
  old.erase("surface");
  old["result"].erase("precision");
  old.erase("leader_id");
  const auto copy = job_from_cache(old.dump());
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ(copy->result, finished_job().result);
}

TEST(AnswerCopy, RoundTrips) {
  const Answer answer{JobId{"job_x"}, 1'700'000'000'900'000, *finished_job().result};
  const auto copy = answer_from_cache(answer_to_cache(answer));
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ(*copy, answer);
  EXPECT_NE(answer_cache_key(TenantId{"a"}, "k"), answer_cache_key(TenantId{"b"}, "k"));
  for (const char* bad : {"", "{}", "[1]", R"({"job":"job_x","until_us":1,"result":{}})", "\xff"}) {
    EXPECT_EQ(answer_from_cache(bad).error().code, ErrorCode::kCorrupt) << bad;
  }
}

TEST(JobCache, AnythingElseIsCorrupt) {
  const std::string good = job_to_cache(finished_job());
  for (const std::string& bad :
       {std::string(), std::string("{}"), std::string("[1,2]"), good.substr(0, good.size() / 2),
        std::string(R"({"id":1})"), std::string("\xff\xfe")}) {
    const auto job = job_from_cache(bad);
    ASSERT_FALSE(job.has_value()) << bad;
    EXPECT_EQ(job.error().code, ErrorCode::kCorrupt);
  }
}

}  // namespace
}  // namespace sluice
