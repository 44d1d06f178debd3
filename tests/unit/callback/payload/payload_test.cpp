#include "callback/payload/payload.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/job/end_event.h"

namespace sluice::callback {
namespace {

using nlohmann::json;

Job succeeded_job(std::string text = "42") {
  Job job;
  job.id.value = "job_1";
  job.tenant.value = "t";
  job.model = "sluice-tiny";
  job.state = JobState::kSucceeded;
  job.generation = 1;
  job.attempt = 1;
  job.created_us = 1'700'000'000'000'000;
  job.started_us = 1'700'000'001'000'000;
  job.finished_us = 1'700'000'002'000'000;
  job.expires_us = 1'700'003'600'000'000;
  job.metadata_json = R"({"order":"7"})";
  job.callback_url = "https://example.com/secret-path";
  job.result = JobResult{std::move(text), "", "stop", 3, 2};
  return job;
}

EventRecord event_of(const Job& job) {
  EventRecord event;
  event.id.value = "evt_1";
  event.job_id = job.id;
  event.generation = job.generation;
  event.type = job_event_type(job.state);
  event.created_us = 1'700'000'002'500'000;
  return event;
}

TEST(Payload, IsAnEventObjectAroundTheJob) {
  const Job job = succeeded_job();
  const json body = json::parse(event_payload(event_of(job), job, {}));
  EXPECT_EQ(body["id"], "evt_1");
  EXPECT_EQ(body["object"], "event");
  EXPECT_EQ(body["type"], "job.succeeded");
  EXPECT_EQ(body["created_at"], 1'700'000'002);
  EXPECT_EQ(body["sequence"], 1);
  EXPECT_EQ(body.size(), 6u);
  EXPECT_EQ(body["data"], job_to_json(job));
  EXPECT_FALSE(body["data"].contains("result_url"));
  EXPECT_EQ(body.dump().find("secret-path"), std::string::npos);
}

TEST(Payload, OfAResponseIsItsIdAlone) {
  Job job = succeeded_job();
  job.id.value = "job_01234567-89ab-7cde-8f01-23456789abcd";
  job.surface = Surface::kResponse;
  EventRecord event = event_of(job);
  event.type = end_event_type(job.surface, job.state, job.result);
  EXPECT_FALSE(tells_id_alone(event_of(job)));
  ASSERT_TRUE(tells_id_alone(event));
  EXPECT_EQ(json::parse(id_event_payload(event)), json::parse(R"({
    "id": "evt_1", "object": "event", "type": "response.completed", "created_at": 1700000002, "sequence": 1,
    "data": {"id": "resp_01234567-89ab-7cde-8f01-23456789abcd"}})"));
}

TEST(Payload, IsTheSameBytesEachTime) {
  const Job job = succeeded_job();
  EXPECT_EQ(event_payload(event_of(job), job, {}), event_payload(event_of(job), job, {}));
}

TEST(Payload, CarriesTheErrorOfEveryOtherEnd) {
  for (const JobState state :
       {JobState::kFailed, JobState::kDead, JobState::kCancelled, JobState::kExpired}) {
    Job job = succeeded_job();
    job.state = state;
    job.result.reset();
    job.error = JobError{"some_code", "message", "server_error", ""};
    const json body = json::parse(event_payload(event_of(job), job, {}));
    EXPECT_EQ(body["type"], "job." + std::string(job_state_name(state)));
    EXPECT_EQ(body["data"]["error"]["code"], "some_code");
    EXPECT_TRUE(body["data"]["result"].is_null());
  }
}

TEST(Payload, ALargeResultIsLeftToItsUrl) {
  const PayloadConfig config{.public_url = "https://sluice.example"};
  const Job fits = succeeded_job(std::string(256 * 1024 - 400, 'a'));
  const json whole = json::parse(event_payload(event_of(fits), fits, config));
  EXPECT_EQ(whole["data"]["result"]["text"], fits.result->text);
  EXPECT_FALSE(whole["data"].contains("result_url"));

  const Job large = succeeded_job(std::string(256 * 1024, 'a'));
  const json cut = json::parse(event_payload(event_of(large), large, config));
  EXPECT_TRUE(cut["data"]["result"].is_null());
  EXPECT_EQ(cut["data"]["result_url"], "https://sluice.example/v1/jobs/job_1");
  EXPECT_EQ(cut["data"]["status"], "succeeded");
}

TEST(Payload, BrokenTextBecomesReplacementCharacters) {
  const Job job = succeeded_job("a\xff\xfe z");
  const json body = json::parse(event_payload(event_of(job), job, {}));
  EXPECT_EQ(body["data"]["result"]["text"], "a\xef\xbf\xbd\xef\xbf\xbd z");
}

TEST(Payload, AJobThatWasStartedAnewIsToldByItsEvent) {
  Job job = succeeded_job();
  job.state = JobState::kDead;
  job.result.reset();
  job.error = JobError{"worker_lost", "m", "server_error", ""};
  const EventRecord event = event_of(job);
  job.generation = 2;  // Redriven, and succeeded meanwhile.
  job.state = JobState::kSucceeded;
  job.result = JobResult{"of generation 2", "", "stop", 1, 1};
  job.error.reset();
  const json body = json::parse(event_payload(event, job, {}));
  EXPECT_EQ(body["type"], "job.dead");
  EXPECT_EQ(body["sequence"], 1);
  const json& data = body["data"];
  EXPECT_EQ(data["status"], "dead");
  EXPECT_EQ(data["generation"], 1);
  EXPECT_EQ(data["finished_at"], 1'700'000'002);
  EXPECT_EQ(data["model"], "sluice-tiny");
  EXPECT_EQ(data["metadata"]["order"], "7");
  EXPECT_TRUE(data["result"].is_null());
  EXPECT_TRUE(data["attempt"].is_null());
  EXPECT_EQ(data["error"]["code"], "superseded");
}

TEST(Payload, AJobThatIsGoneIsToldByItsEvent) {
  const json body = json::parse(event_payload(event_of(succeeded_job()), std::nullopt, {}));
  EXPECT_EQ(body["data"]["id"], "job_1");
  EXPECT_EQ(body["data"]["status"], "succeeded");
  EXPECT_TRUE(body["data"]["created_at"].is_null());
  EXPECT_TRUE(body["data"]["error"].is_null());
}

TEST(Payload, OfABatchTheIdIsTold) {
  EventRecord event;
  event.id.value = "evt_1";
  event.job_id.value = "batch_0199c0de-0000-7000-8000-00000000000a";
  event.generation = 2;
  event.type = "batch.completed";
  event.created_us = 1'700'000'002'000'000;
  EXPECT_TRUE(tells_id_alone(event));
  EXPECT_EQ(json::parse(id_event_payload(event)),
            (json{{"id", "evt_1"},
                  {"object", "event"},
                  {"type", "batch.completed"},
                  {"created_at", 1'700'000'002},
                  {"sequence", 2},
                  {"data", {{"id", "batch_0199c0de-0000-7000-8000-00000000000a"}}}}));
  event.job_id.value = "job_0199c0de-0000-7000-8000-00000000000a";
  EXPECT_FALSE(tells_id_alone(event));
}

}  // namespace
}  // namespace sluice::callback
