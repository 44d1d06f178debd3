#include "common/openai/batch_line.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using nlohmann::json;

Job ended_as(JobState state) {
  Job job;
  job.id.value = "job_0199c0de-0000-7000-8000-00000000000a";
  job.model = "echo";
  job.surface = Surface::kChat;
  job.state = state;
  job.created_us = 1'700'000'000'000'000;
  if (state == JobState::kSucceeded) {
    job.result = JobResult{"42", "", "stop", 3, 1, 0, 0, "", ""};
  } else {
    job.error = JobError{"engine_error", "it broke", "server_error", ""};
  }
  return job;
}

json line_of(const Job& job) {
  const std::string text = openai::batch_line("ü \"1\"", job, "");
  EXPECT_EQ(text.find('\n'), text.size() - 1);
  return json::parse(text);
}

TEST(BatchLine, HoldsTheAnswerOfARequestThatSucceeded) {
  const json line = line_of(ended_as(JobState::kSucceeded));
  EXPECT_EQ(line["id"], "batch_req_0199c0de-0000-7000-8000-00000000000a");
  EXPECT_EQ(line["custom_id"], "ü \"1\"");
  EXPECT_TRUE(line["error"].is_null());
  EXPECT_EQ(line["response"]["status_code"], 200);
  EXPECT_EQ(line["response"]["request_id"], "job_0199c0de-0000-7000-8000-00000000000a");
  EXPECT_EQ(line["response"]["body"]["object"], "chat.completion");
  EXPECT_EQ(line["response"]["body"]["choices"][0]["message"]["content"], "42");
}

TEST(BatchLine, HoldsTheErrorBodyOfARequestThatFailed) {
  const json line = line_of(ended_as(JobState::kDead));
  EXPECT_TRUE(line["error"].is_null());
  EXPECT_EQ(line["response"]["status_code"], 500);
  EXPECT_EQ(line["response"]["body"]["error"]["message"], "it broke");
}

TEST(BatchLine, SaysWhyARequestWasNeverAnswered) {
  json line = line_of(ended_as(JobState::kExpired));
  EXPECT_TRUE(line["response"].is_null());
  EXPECT_EQ(line["error"]["code"], "batch_expired");
  Job cancelled = ended_as(JobState::kCancelled);
  cancelled.error = JobError{"batch_cancelled", "The batch was cancelled.", "job_error", ""};
  line = line_of(cancelled);
  EXPECT_TRUE(line["response"].is_null());
  EXPECT_EQ(line["error"], (json{{"code", "batch_cancelled"}, {"message", "The batch was cancelled."}}));
}

}  // namespace
}  // namespace sluice
