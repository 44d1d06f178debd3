// Heartbeats, lost leases and long jobs.
#include <gmock/gmock.h>

#include "tests/unit/worker/consumer/harness.h"

namespace sluice::worker {
namespace {

using std::chrono::seconds;

class LeaseTest : public RunnerTest {};

TEST_F(LeaseTest, ARunningJobKeepsItsLease) {
  const JobId id = submit("long");
  start(config());
  deliver(id);
  ASSERT_TRUE(engine_.wait_added(1));
  pass_time_until([] { return false; }, seconds(60));
  EXPECT_EQ(*store_.rescue_lapsed(10, soon()), 0);
  EXPECT_EQ(state(id), JobState::kRunning);
}

TEST_F(LeaseTest, ACancelledJobLeavesTheEngineAndItsResultIsDropped) {
  const JobId id = submit("long");
  const JobId mate = submit("mate");
  start(config());
  const auto tag = deliver(id);
  deliver(mate);
  ASSERT_TRUE(engine_.wait_active(2));
  ASSERT_TRUE(store_.cancel({"t"}, id, soon()).has_value());
  ASSERT_TRUE(pass_time_until([&] { return engine_.active() == 1; }, seconds(5)));
  ASSERT_TRUE(journal_.wait_for("ack:" + std::to_string(tag)));
  EXPECT_EQ(state(id), JobState::kCancelled);
  EXPECT_EQ(state(mate), JobState::kRunning);
  EXPECT_EQ(store_.calls("finish"), 0);
  EXPECT_EQ(metric("sluice_worker_lost_leases_total"), 1);
  EXPECT_EQ(metric("sluice_worker_jobs_total{outcome=\"lost\"}"), 1);
}

TEST_F(LeaseTest, AResultThatComesAfterTheCancelIsDropped) {
  const JobId id = submit("long");
  start(config());
  const auto tag = deliver(id);
  ASSERT_TRUE(engine_.wait_added(1));
  ASSERT_TRUE(store_.cancel({"t"}, id, soon()).has_value());
  engine_.finish(key(id));
  ASSERT_TRUE(journal_.wait_for("ack:" + std::to_string(tag)));
  EXPECT_EQ(state(id), JobState::kCancelled);
  EXPECT_FALSE(job(id).result.has_value());
  EXPECT_EQ(journal_.starting("put:"), 0U);
}

TEST_F(LeaseTest, ACancelledJobThatWaitsForItsPlaceNeverStarts) {
  const JobId first = submit("first");
  const JobId waits = submit("waits");
  make(config(1, 1));
  dispatch();
  runner_->start();
  ASSERT_TRUE(engine_.wait_added(1));
  ASSERT_EQ(state(waits), JobState::kRunning);  // Claimed ahead.
  ASSERT_TRUE(store_.cancel({"t"}, waits, soon()).has_value());
  ASSERT_TRUE(pass_time_until([&] { return journal_.starting("ack:") == 1; }));
  engine_.finish(key(first));
  ASSERT_TRUE(journal_.wait_count("ack:", 2));
  EXPECT_EQ(engine_.added().size(), 1U);
}

TEST_F(LeaseTest, SilentForLongerThanTheLeaseTheJobIsAnotherWorkersAndOurResultIsDropped) {
  const JobId id = submit("long");
  start(config());
  deliver(id);
  ASSERT_TRUE(engine_.wait_added(1));
  store_.fail_next("heartbeat", ErrorCode::kUnavailable, 1'000'000);
  ASSERT_TRUE(pass_time_until([&] { return *store_.rescue_lapsed(10, soon()) == 1; }));
  EXPECT_EQ(engine_.active(), 1U);  // The work goes on meanwhile.
  clock_.advance(seconds(5));
  ASSERT_EQ(store_.claim(std::vector<TaskRef>{{id, 1, 1}}, "w-2", soon())->size(), 1U);
  engine_.finish(key(id), Generation{"stale", {}, FinishReason::kStop, {1, 1}});
  ASSERT_TRUE(journal_.wait_count("ack:", 1));
  EXPECT_EQ(state(id), JobState::kRunning);
  std::vector<Ending> endings(1);
  endings[0] = Ending{{id, 1, 2}, "w-2", Succeeded{JobResult{"fresh", "", "stop", 1, 1}}};
  EXPECT_EQ(store_.finish(endings, soon())->front().outcome, EndingOutcome::kEnded);
  EXPECT_EQ(job(id).result->text, "fresh");
  EXPECT_EQ(store_.events().size(), 1U);
}

TEST_F(LeaseTest, AHeartbeatThatFailsNowAndThenCostsNothing) {
  const JobId id = submit("long");
  start(config());
  deliver(id);
  ASSERT_TRUE(engine_.wait_added(1));
  for (int i = 0; i < 5; ++i) {
    store_.fail_next("heartbeat", ErrorCode::kUnavailable, 3);
    const int calls = store_.calls("heartbeat");
    ASSERT_TRUE(pass_time_until([&] { return store_.calls("heartbeat") >= calls + 5; }));
  }
  EXPECT_EQ(*store_.rescue_lapsed(10, soon()), 0);
  engine_.finish(key(id));
  ASSERT_TRUE(journal_.wait_count("ack:", 1));
  EXPECT_EQ(state(id), JobState::kSucceeded);
}

TEST_F(LeaseTest, AnIdleWorkerSendsNoHeartbeats) {
  start(config());
  pass_time_until([] { return false; }, seconds(20));
  EXPECT_EQ(store_.calls("heartbeat"), 0);
}

TEST_F(LeaseTest, TheMessageOfAJobThatRunsForLongIsAckedEarlyAndOnlyOnce) {
  JobRunnerConfig c = config();
  EXPECT_EQ(c.lease.ack_after, std::chrono::minutes(10));
  c.lease.ack_after = seconds(30);
  const JobId id = submit("very long");
  start(c);
  const auto tag = deliver(id);
  ASSERT_TRUE(engine_.wait_added(1));
  pass_time_until([] { return false; }, seconds(28));
  EXPECT_EQ(journal_.starting("ack:"), 0U);
  ASSERT_TRUE(pass_time_until([&] { return journal_.count("ack:" + std::to_string(tag)) == 1; }));
  EXPECT_EQ(state(id), JobState::kRunning);
  engine_.finish(key(id));
  ASSERT_TRUE(journal_.wait_for("put:" + id.value));
  runner_->drain();
  EXPECT_EQ(journal_.count("ack:" + std::to_string(tag)), 1U);
  EXPECT_EQ(state(id), JobState::kSucceeded);
}

}  // namespace
}  // namespace sluice::worker
