// The process is killed in each window between two effects; afterwards the receiver has the event, with one
// id and body.
#include <gtest/gtest.h>
#include <signal.h>

#include <set>

#include "tests/integration/callback/world.h"

namespace sluice::testing {
namespace {

using namespace std::chrono_literals;

#if defined(SLUICE_FAILPOINTS)

class CrashWindow : public CallbackWorld, public ::testing::WithParamInterface<const char*> {};

TEST_P(CrashWindow, EveryJobIsStillTold) {
  Receiver receiver;
  std::vector<JobId> jobs;
  for (int i = 0; i < 5; ++i) jobs.push_back(end_job(receiver.url()));
  service_ = make_service({{"SLUICE_FAILPOINT", std::string("callback.") + GetParam()}});
  publish();
  ASSERT_EQ(service_->wait_end(), 128 + SIGKILL);

  // Nothing is published anew: the broker delivers again what was not acked, and held rows become due.
  start();
  ASSERT_TRUE(eventually([this] { return undecided() == 0; }));
  for (const JobId& job : jobs) ASSERT_TRUE(eventually([&] { return rows(job).size() == 1; }));
  for (const JobId& job : jobs) make_due(job);  // As if the hold were over.
  for (const JobId& job : jobs) ASSERT_TRUE(wait_state(job, "delivered"));
  std::map<std::string, std::set<std::string>> bodies;
  for (const auto& request : receiver.requests()) {
    EXPECT_TRUE(signed_well(request));
    bodies[request.headers.at("webhook-id")].insert(request.body);
  }
  EXPECT_EQ(bodies.size(), 5u);
  for (const auto& [id, different] : bodies) EXPECT_EQ(different.size(), 1u) << id;
  EXPECT_EQ(messages_ready(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Callback, CrashWindow,
                         ::testing::Values("before_decide", "after_decide", "after_claim", "after_post",
                                           "after_record"),
                         [](const auto& info) { return std::string(info.param); });

class Crash : public CallbackWorld {};

TEST_F(Crash, BetweenPostAndRecordTheReceiverGetsItAgainWithTheSameIdAndBody) {
  Receiver receiver;
  const JobId job = end_job(receiver.url());
  service_ = make_service({{"SLUICE_FAILPOINT", "callback.after_post"},
                           {"SLUICE_WEBHOOK_TIMEOUT", "1s"},
                           {"SLUICE_WEBHOOK_HOLD", "11s"}});
  publish();
  ASSERT_EQ(service_->wait_end(), 128 + SIGKILL);
  ASSERT_EQ(receiver.requests().size(), 1u);
  EXPECT_EQ(row(job).attempts, 0);
  start();
  ASSERT_TRUE(wait_state(job, "delivered"));  // Once the hold of 11 s is over, by itself.
  const auto requests = receiver.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].headers.at("webhook-id"), requests[1].headers.at("webhook-id"));
  EXPECT_EQ(requests[0].body, requests[1].body);
  EXPECT_EQ(row(job).attempts, 1);
}

#endif

class Killed : public CallbackWorld {};

TEST_F(Killed, InTheMidstOfManyAttempts) {
  Receiver receiver([](const Receiver::Request&) { return Receiver::Reply{.delay = 20ms}; });
  std::vector<JobId> jobs;
  for (int i = 0; i < 60; ++i) jobs.push_back(end_job(receiver.url()));
  start({{"SLUICE_WEBHOOK_TIMEOUT", "1s"}, {"SLUICE_WEBHOOK_HOLD", "11s"}});
  publish();
  ASSERT_TRUE(receiver.wait_for(25));
  service_->signal(SIGKILL);
  ASSERT_EQ(service_->wait_end(), 128 + SIGKILL);
  start();
  for (const JobId& job : jobs) ASSERT_TRUE(wait_state(job, "delivered"));
  std::map<std::string, std::set<std::string>> bodies;
  for (const auto& request : receiver.requests()) {
    bodies[request.headers.at("webhook-id")].insert(request.body);
  }
  EXPECT_EQ(bodies.size(), 60u);
  for (const auto& [id, different] : bodies) EXPECT_EQ(different.size(), 1u);
  for (const JobId& job : jobs) {
    const Row delivery = row(job);
    // Attempts that a slow machine lets time out are recorded, too; but what was taken once is not sent
    // again.
    EXPECT_GE(delivery.recorded, 1);
    EXPECT_EQ(delivery.taken, 1) << delivery.id;
  }
}

// Two processes share the work: each delivery is sent by one of them.
TEST_F(Killed, TwoServicesShareTheWork) {
  Receiver receiver;
  start();
  auto second = make_service();
  ASSERT_TRUE(second->wait_ready());
  std::vector<JobId> jobs;
  for (int i = 0; i < 100; ++i) jobs.push_back(end_job(receiver.url()));
  publish(2);
  for (const JobId& job : jobs) ASSERT_TRUE(wait_state(job, "delivered"));
  EXPECT_EQ(receiver.requests().size(), 100u);
}

}  // namespace
}  // namespace sluice::testing
