// Deliveries end to end: from an event on the broker to what a receiver gets, for every kind of receiver.
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/integration/callback/world.h"

namespace sluice::testing {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

class Deliveries : public CallbackWorld {};

TEST_F(Deliveries, ASucceededJobIsToldOnceSignedAndWhole) {
  Receiver receiver;
  start();
  const JobId job = end_job(receiver.url("/hook?key=1"), "gr\xc3\xbc\xc3\x9f\x65");
  publish();
  ASSERT_TRUE(wait_state(job, "delivered"));
  ASSERT_EQ(receiver.requests().size(), 1u);
  const auto request = receiver.requests().front();
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.target, "/hook?key=1");
  EXPECT_EQ(request.headers.at("content-type"), "application/json");
  EXPECT_EQ(request.headers.at("user-agent"), "sluice/" SLUICE_VERSION);
  EXPECT_TRUE(signed_well(request));
  const json body = json::parse(request.body);
  EXPECT_EQ(body["id"], request.headers.at("webhook-id"));
  EXPECT_EQ(body["object"], "event");
  EXPECT_EQ(body["type"], "job.succeeded");
  EXPECT_EQ(body["sequence"], 1);
  EXPECT_EQ(body["data"], job_to_json(*jobs_->get({}, job, soon())));
  EXPECT_EQ(body["data"]["result"]["text"], "gr\xc3\xbc\xc3\x9f\x65");
  const Row delivery = row(job);
  EXPECT_EQ(delivery.attempts, 1);
  EXPECT_EQ(delivery.recorded, 1);
  EXPECT_EQ(undecided(), 0);
  EXPECT_EQ(service_->metric("sluice_webhook_deliveries_total{outcome=\"delivered\"}"), 1);
  EXPECT_EQ(service_->metric("sluice_callback_events_total{outcome=\"delivery\"}"), 1);
  EXPECT_EQ(service_->get("/health").first, 200);
}

TEST_F(Deliveries, FailedJobsAreToldTooAndJobsWithoutAReceiverAreOnlyDecided) {
  Receiver receiver;
  start();
  const JobId failed = end_job(receiver.url(), "", false);
  const JobId nobody = end_job("");
  EXPECT_EQ(publish(), 2);
  ASSERT_TRUE(wait_state(failed, "delivered"));
  ASSERT_TRUE(eventually([this] { return undecided() == 0; }));
  EXPECT_TRUE(rows(nobody).empty());
  const json body = json::parse(receiver.requests().front().body);
  EXPECT_EQ(body["type"], "job.failed");
  EXPECT_EQ(body["data"]["error"]["code"], "bad_request");
}

TEST_F(Deliveries, DuplicateEventsMakeOneDelivery) {
  Receiver receiver;
  start();
  std::vector<JobId> jobs;
  for (int i = 0; i < 20; ++i) jobs.push_back(end_job(receiver.url()));
  EXPECT_EQ(publish(5), 20);
  for (const JobId& job : jobs) ASSERT_TRUE(wait_state(job, "delivered"));
  ASSERT_TRUE(eventually(
      [this] { return service_->metric("sluice_callback_events_total{outcome=\"duplicate\"}") == 80; }));
  EXPECT_EQ(receiver.requests().size(), 20u);
  std::set<std::string> ids;
  for (const auto& request : receiver.requests()) ids.insert(request.headers.at("webhook-id"));
  EXPECT_EQ(ids.size(), 20u);
}

TEST_F(Deliveries, MessagesThatAreNoneHarmNobody) {
  Receiver receiver;
  start();
  publish_text("nonsense");
  publish_text("");
  publish_text(
      R"({"event_id":"evt_01890000-0000-7000-8000-000000000001","job_id":"job_01890000-0000-7000-8000-000000000001",)"
      R"("tenant":"x","generation":1,"type":"job.failed"})");
  const JobId job = end_job(receiver.url());
  publish();
  ASSERT_TRUE(wait_state(job, "delivered"));
  EXPECT_EQ(service_->metric("sluice_callback_events_total{outcome=\"malformed\"}"), 2);
  EXPECT_EQ(service_->metric("sluice_callback_events_total{outcome=\"unknown\"}"), 1);
  ASSERT_TRUE(eventually([this] { return messages_ready() == 0; }));
}

TEST_F(Deliveries, AnErrorIsTriedAgainWithTheSameIdAndBody) {
  Receiver receiver([](const Receiver::Request& request) {
    return Receiver::Reply{.status = request.number < 3 ? 500 : 200, .body = "answer"};
  });
  start();
  const JobId job = end_job(receiver.url());
  publish();
  ASSERT_TRUE(wait_state(job, "delivered"));
  const auto requests = receiver.requests();
  ASSERT_EQ(requests.size(), 3u);
  for (const auto& request : requests) {
    EXPECT_EQ(request.body, requests[0].body);
    EXPECT_EQ(request.headers.at("webhook-id"), requests[0].headers.at("webhook-id"));
    EXPECT_TRUE(signed_well(request));
  }
  EXPECT_EQ(row(job).recorded, 3);
  EXPECT_EQ(service_->metric("sluice_webhook_attempts_total{outcome=\"status_5xx\"}"), 2);
}

TEST_F(Deliveries, TheLastFailureIsFinal) {
  Receiver receiver([](const Receiver::Request&) { return Receiver::Reply{.status = 400}; });
  start({{"SLUICE_WEBHOOK_RETRY_WAITS", "0s,1ms,1ms"}});
  const JobId job = end_job(receiver.url());
  publish();
  ASSERT_TRUE(wait_state(job, "failed"));
  EXPECT_EQ(row(job).attempts, 3);
  EXPECT_EQ(row(job).last_status, 400);
  EXPECT_EQ(receiver.requests().size(), 3u);
}

TEST_F(Deliveries, ASilentReceiverTimesOut) {
  Receiver receiver([](const Receiver::Request& request) {
    return Receiver::Reply{.delay = request.number == 1 ? 1h : 0h};
  });
  start({{"SLUICE_WEBHOOK_TIMEOUT", "300ms"}});
  const JobId job = end_job(receiver.url());
  publish();
  ASSERT_TRUE(wait_state(job, "delivered"));
  EXPECT_GE(receiver.requests().size(), 2u);
  EXPECT_GE(service_->metric("sluice_webhook_attempts_total{outcome=\"timeout\"}"), 1);
}

TEST_F(Deliveries, ARedirectIsAFailureAndNotFollowed) {
  Receiver target;
  Receiver receiver([&](const Receiver::Request&) {
    return Receiver::Reply{.status = 301, .headers = "Location: " + target.url() + "\r\n"};
  });
  start();
  const JobId job = end_job(receiver.url());
  publish();
  ASSERT_TRUE(wait_attempts(job, 1));
  EXPECT_EQ(row(job).last_status, 301);
  EXPECT_EQ(row(job).state, "pending");
  EXPECT_EQ(target.connections(), 0);
}

TEST_F(Deliveries, GoneEndsTheDelivery) {
  Receiver receiver([](const Receiver::Request&) { return Receiver::Reply{.status = 410}; });
  start();
  const JobId job = end_job(receiver.url());
  publish();
  ASSERT_TRUE(wait_state(job, "failed"));
  EXPECT_EQ(row(job).attempts, 1);
  EXPECT_EQ(service_->metric("sluice_webhook_deliveries_total{outcome=\"failed\"}"), 1);
}

TEST_F(Deliveries, RetryAfterIsObeyed) {
  Receiver receiver([](const Receiver::Request&) {
    return Receiver::Reply{.status = 429, .headers = "Retry-After: 120\r\n"};
  });
  start();
  const JobId job = end_job(receiver.url());
  publish();
  ASSERT_TRUE(wait_attempts(job, 1));
  EXPECT_GT(row(job).due_in_s, 100);
  EXPECT_LE(row(job).due_in_s, 120);
  EXPECT_EQ(receiver.requests().size(), 1u);
}

TEST_F(Deliveries, AnEndlessAnswerGoesByItsStatus) {
  Receiver receiver(
      [](const Receiver::Request&) { return Receiver::Reply{.body = "begin", .endless = true}; });
  start();
  const JobId job = end_job(receiver.url());
  publish();
  ASSERT_TRUE(wait_state(job, "delivered"));
  const auto kept = database_->pool().query(
      Sql("SELECT LENGTH(response), LEFT(response, 6) FROM delivery_attempt"), soon());
  EXPECT_EQ(kept->front().int64(0), 4096);
  EXPECT_EQ(kept->front().str(1), "beginx");
}

TEST_F(Deliveries, ALargeResultIsLeftToItsUrl) {
  Receiver receiver;
  start({{"SLUICE_PUBLIC_URL", "https://sluice.example"}});
  const JobId job = end_job(receiver.url(), std::string(300'000, 'a'));
  publish();
  ASSERT_TRUE(wait_state(job, "delivered"));
  const json body = json::parse(receiver.requests().front().body);
  EXPECT_TRUE(body["data"]["result"].is_null());
  EXPECT_EQ(body["data"]["result_url"], "https://sluice.example/v1/jobs/" + job.value);
}

TEST_F(Deliveries, ASlowEndpointAndADeadOneDelayNoOther) {
  Receiver slow([](const Receiver::Request&) { return Receiver::Reply{.delay = 1h}; });
  Receiver quick;
  start({{"SLUICE_WEBHOOK_TIMEOUT", "30s"},
         {"SLUICE_WEBHOOK_HOLD", "60s"},
         {"SLUICE_WEBHOOK_CONCURRENCY", "24"}});
  std::string dead_url;
  {
    Receiver gone;
    dead_url = gone.url();
  }
  for (int i = 0; i < 60; ++i) {
    end_job(slow.url());
    end_job(dead_url);
  }
  publish();
  ASSERT_TRUE(slow.wait_for(16));
  std::vector<JobId> jobs;
  for (int i = 0; i < 30; ++i) jobs.push_back(end_job(quick.url()));
  publish();
  for (const JobId& job : jobs) ASSERT_TRUE(wait_state(job, "delivered"));
  EXPECT_GE(service_->metric("sluice_webhook_resting_endpoints"), 1);
}

TEST_F(Deliveries, LoopbackIsRefusedAtOnceUnlessItIsAllowed) {
  Receiver receiver;
  start({{"SLUICE_WEBHOOK_ALLOW_LOOPBACK", "false"}});
  for (const std::string& host : {std::string("127.0.0.1"), std::string("0x7f.1"), std::string("localhost"),
                                  std::string("[::1]"), std::string("[::ffff:127.0.0.1]")}) {
    const JobId job = end_job("http://" + host + ":" + std::to_string(receiver.port()) + "/");
    publish();
    ASSERT_TRUE(wait_state(job, "failed")) << host;
    EXPECT_EQ(row(job).attempts, 1);
    EXPECT_NE(row(job).last_error.find("refused"), std::string::npos) << row(job).last_error;
  }
  EXPECT_EQ(receiver.connections(), 0);
}

TEST_F(Deliveries, ManyDeliveriesToOneReceiver) {
  Receiver receiver;
  start();
  std::vector<JobId> jobs;
  for (int i = 0; i < 200; ++i) jobs.push_back(end_job(receiver.url()));
  publish();
  for (const JobId& job : jobs) ASSERT_TRUE(wait_state(job, "delivered"));
  EXPECT_EQ(receiver.requests().size(), 200u);
}

TEST_F(Deliveries, AStopLetsAttemptsUnderWayEnd) {
  Receiver receiver([](const Receiver::Request&) { return Receiver::Reply{.delay = 500ms}; });
  start();
  const JobId job = end_job(receiver.url());
  publish();
  ASSERT_TRUE(receiver.wait_for(1));
  service_->signal(SIGTERM);
  EXPECT_EQ(service_->wait_end(), 0);
  EXPECT_EQ(row(job).state, "delivered");
  EXPECT_EQ(receiver.requests().size(), 1u);
}

TEST_F(Deliveries, AStopGivesBackWhatDoesNotEndInTime) {
  Receiver receiver([](const Receiver::Request& request) {
    return Receiver::Reply{.delay = request.number == 1 ? 1h : 0h};
  });
  start({{"SLUICE_WEBHOOK_STOP_GRACE", "100ms"},
         {"SLUICE_WEBHOOK_TIMEOUT", "30s"},
         {"SLUICE_WEBHOOK_HOLD", "60s"}});
  const JobId job = end_job(receiver.url());
  publish();
  ASSERT_TRUE(receiver.wait_for(1));
  service_->signal(SIGTERM);
  EXPECT_EQ(service_->wait_end(), 0);
  EXPECT_EQ(row(job).attempts, 0);
  start();  // Due at once: no hold to wait for.
  ASSERT_TRUE(wait_state(job, "delivered", 20s));
}

}  // namespace
}  // namespace sluice::testing
