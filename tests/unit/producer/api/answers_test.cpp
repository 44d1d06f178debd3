#include "producer/api/answers.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "producer/api/models.h"

namespace sluice::producer {
namespace {

using nlohmann::json;

Job job(const std::string& id) {
  Job made;
  made.id.value = id;
  made.tenant.value = "t";
  made.model = "m";
  made.created_us = 1'700'000'000'000'000;
  made.expires_us = 1'700'003'600'000'000;
  return made;
}

TEST(Answers, AcceptedJobHasItsLocation) {
  Submission submission;
  submission.jobs.emplace_back().job = job("job_1");
  const http::Response response = accepted_answer(submission);
  EXPECT_EQ(response.status, 202);
  EXPECT_EQ(response.headers.get("Location"), "/v1/jobs/job_1");
  EXPECT_EQ(json::parse(response.body)["status"], "queued");
}

TEST(Answers, AcceptedBatchIsAListInOrder) {
  Submission submission;
  submission.batch = NewBatch{BatchId{"batch_1"}, 2};
  submission.jobs.emplace_back().job = job("job_1");
  submission.jobs.emplace_back().job = job("job_2");
  const http::Response response = accepted_answer(submission);
  const json body = json::parse(response.body);
  EXPECT_EQ(response.headers.get("Location"), "/v1/jobs?batch_id=batch_1");
  EXPECT_EQ(body["object"], "list");
  EXPECT_EQ(body["batch_id"], "batch_1");
  ASSERT_EQ(body["data"].size(), 2U);
  EXPECT_EQ(body["data"][1]["id"], "job_2");
}

TEST(Answers, OneMoreThanTheLimitMeansThatThereAreMore) {
  const std::vector<Job> jobs = {job("job_3"), job("job_2"), job("job_1")};
  json body = json::parse(list_answer(jobs, 2).body);
  EXPECT_EQ(body["has_more"], true);
  EXPECT_EQ(body["data"].size(), 2U);
  EXPECT_EQ(body["first_id"], "job_3");
  EXPECT_EQ(body["last_id"], "job_2");
  body = json::parse(list_answer(jobs, 3).body);
  EXPECT_EQ(body["has_more"], false);
  body = json::parse(list_answer({}, 3).body);
  EXPECT_TRUE(body["first_id"].is_null());
  EXPECT_TRUE(body["data"].empty());
}

TEST(Answers, RefusalListsItsErrors) {
  ModelCatalog models;
  models.add(make_echo_model());
  const auto single = parse_submit(R"({"prompt": 1, "x": 2})", models);
  json body = json::parse(refusal_answer(single.error()).body);
  EXPECT_EQ(body["error"]["param"], "prompt");
  EXPECT_EQ(body["error"]["type"], "invalid_request_error");
  EXPECT_EQ(body["error"]["code"], "invalid_type");
  ASSERT_EQ(body["errors"].size(), 2U);
  EXPECT_FALSE(body["errors"][0].contains("index"));
  EXPECT_EQ(body["errors"][1]["field"], "x");

  const auto batch = parse_submit(R"({"requests": [{"prompt": "a"}, {"prompt": 1}], "x": 2})", models);
  body = json::parse(refusal_answer(batch.error()).body);
  ASSERT_EQ(body["errors"].size(), 2U);
  EXPECT_TRUE(body["errors"][0]["index"].is_null());
  EXPECT_EQ(body["errors"][1]["index"], 1);
  EXPECT_EQ(body["errors"][1]["field"], "prompt");
}

TEST(Answers, AnUnknownOutcomeNamesTheIds) {
  Submission submission;
  submission.batch = NewBatch{BatchId{"batch_1"}, 1};
  submission.jobs.emplace_back().job = job("job_1");
  const http::Response response = submit_failure({ErrorCode::kOutcomeUnknown, "lost"}, submission);
  EXPECT_EQ(response.status, 503);
  EXPECT_TRUE(response.headers.contains("Retry-After"));
  const json body = json::parse(response.body);
  EXPECT_EQ(body["error"]["code"], "outcome_unknown");
  EXPECT_EQ(body["job_ids"], json::array({"job_1"}));
  EXPECT_EQ(body["batch_id"], "batch_1");
}

TEST(Answers, FailuresOfTheStoreTellClientsWhatToDo) {
  EXPECT_EQ(store_failure({ErrorCode::kNotFound, "secret detail"}).status, 404);
  EXPECT_EQ(store_failure({ErrorCode::kNotFound, "secret detail"}).body, no_such_job().body);
  for (const ErrorCode code :
       {ErrorCode::kUnavailable, ErrorCode::kDeadline, ErrorCode::kExhausted, ErrorCode::kOutcomeUnknown}) {
    const http::Response response = store_failure({code, "xyzzy"});
    EXPECT_EQ(response.status, 503);
    ASSERT_TRUE(response.headers.contains("Retry-After"));
    EXPECT_LE(std::stoi(std::string(*response.headers.get("Retry-After"))), 59);
  }
  EXPECT_EQ(store_failure({ErrorCode::kInternal, "detail"}).status, 500);
  EXPECT_EQ(store_failure({ErrorCode::kInternal, "xyzzy"}).body.find("xyzzy"), std::string::npos);
  EXPECT_EQ(submit_failure({ErrorCode::kInvalid, "detail"}, {}).status, 400);
}

}  // namespace
}  // namespace sluice::producer
