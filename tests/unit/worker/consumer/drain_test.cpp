// A stop loses nothing and counts as nobody's failure.
#include <gmock/gmock.h>

#include "tests/unit/worker/consumer/harness.h"

namespace sluice::worker {
namespace {

using std::chrono::milliseconds;

class DrainTest : public RunnerTest {
 protected:
  ~DrainTest() override {
    if (drain_.joinable()) end_drain();  // A test that broke off.
  }
  // drain() waits on the clock that the test moves, so it runs beside it.
  void begin_drain() {
    drain_ = std::thread([this] {
      written_ = runner_->drain();
      ended_ = true;
    });
  }
  bool end_drain() {
    EXPECT_TRUE(pass_time_until([this] { return ended_.load(); }, std::chrono::minutes(2)));
    drain_.join();
    return written_;
  }
  std::thread drain_;
  std::atomic<bool> ended_{false};
  std::atomic<bool> written_{false};
};

TEST_F(DrainTest, RunningJobsFinishWaitingOnesAreGivenBack) {
  std::vector<JobId> ids;
  for (int i = 0; i < 6; ++i) ids.push_back(submit("p"));
  make(config(2, 1));
  dispatch();
  runner_->start();
  ASSERT_TRUE(engine_.wait_added(2));
  ASSERT_EQ(running(), 3U);
  begin_drain();
  ASSERT_TRUE(journal_.wait_for("pause"));
  ASSERT_TRUE(journal_.wait_count("give_back:", 3));  // Never claimed: back to the queue for others.
  ASSERT_TRUE(journal_.wait_count("ack:", 1));        // Claimed ahead: released.
  EXPECT_EQ(running(), 2U);
  for (const std::string& started : engine_.added()) engine_.finish(started);
  EXPECT_TRUE(end_drain());
  std::size_t succeeded = 0;
  for (const JobId& id : ids) {
    succeeded += state(id) == JobState::kSucceeded ? 1 : 0;
    EXPECT_TRUE(state(id) == JobState::kSucceeded || state(id) == JobState::kQueued);
  }
  EXPECT_EQ(succeeded, 2U);
  EXPECT_EQ(journal_.starting("ack:"), 3U);
  EXPECT_EQ(engine_.added().size(), 2U);
}

TEST_F(DrainTest, WhatRunsForTooLongIsReleasedAndThatIsNoAttempt) {
  const JobId id = submit("endless");
  JobRunnerConfig c = config();
  c.drain_timeout = milliseconds(10'000);
  start(c);
  for (int i = 1; i <= 7; ++i) {  // More often than a job has attempts.
    deliver(id);
    ASSERT_TRUE(engine_.wait_added(static_cast<std::size_t>(i)));
    begin_drain();
    ASSERT_TRUE(journal_.wait_for("pause", static_cast<std::size_t>(i)));
    EXPECT_EQ(state(id), JobState::kRunning);
    EXPECT_TRUE(end_drain());
    EXPECT_EQ(state(id), JobState::kQueued);
    ended_ = false;
    start(c);
  }
  engine_.answer_all();
  deliver(id);
  ASSERT_TRUE(journal_.wait_for("put:" + id.value));
  EXPECT_EQ(state(id), JobState::kSucceeded);
}

TEST_F(DrainTest, WithoutTheDatabaseADrainEndsAllTheSame) {
  const JobId id = submit("p");
  start(config());
  const auto tag = deliver(id);
  ASSERT_TRUE(engine_.wait_added(1));
  store_.fail_next("finish", ErrorCode::kUnavailable, 1'000'000);
  engine_.finish(key(id));
  begin_drain();
  EXPECT_FALSE(end_drain());
  EXPECT_EQ(journal_.count("ack:" + std::to_string(tag)), 0U);  // The broker will deliver it again.
  EXPECT_EQ(state(id), JobState::kRunning);                     // Its lease lapses.
}

TEST_F(DrainTest, ResultsThatWaitForTheDatabaseAreWrittenIfItComesBackInTime) {
  const JobId id = submit("p");
  start(config());
  deliver(id);
  ASSERT_TRUE(engine_.wait_added(1));
  store_.fail_next("finish", ErrorCode::kUnavailable, 5);
  engine_.finish(key(id));
  begin_drain();
  EXPECT_TRUE(end_drain());
  EXPECT_EQ(state(id), JobState::kSucceeded);
}

TEST_F(DrainTest, MessagesThatComeDuringADrainGoBack) {
  const JobId id = submit("p");
  start(config());
  deliver(id);
  ASSERT_TRUE(engine_.wait_added(1));
  begin_drain();
  ASSERT_TRUE(journal_.wait_for("pause"));
  const auto late = deliver(submit("late"));
  ASSERT_TRUE(journal_.wait_for("give_back:" + std::to_string(late)));
  engine_.finish(key(id));
  EXPECT_TRUE(end_drain());
}

TEST_F(DrainTest, AnIdleWorkerEndsAtOnceAndStopMayFollow) {
  start(config());
  EXPECT_TRUE(runner_->drain());
  runner_->stop();
  EXPECT_TRUE(runner_->drain());
}

}  // namespace
}  // namespace sluice::worker
