// A worker that an operator has drained finishes what it has and takes nothing new.
#include "worker/consumer/presence.h"

#include <gmock/gmock.h>

#include "tests/unit/worker/consumer/harness.h"

namespace sluice::worker {
namespace {

using ::testing::IsEmpty;

const Actor kActor{TenantId{"ops"}, "night shift"};

class PresenceTest : public RunnerTest {
 protected:
  void begin(JobRunnerConfig c = config()) {
    start(c);
    presence_ = std::make_unique<Presence>(
        PresenceConfig{}, WorkerBeat{"w-1", "m", std::string(100, 'e'), "1.0", 32, 0}, store_, *runner_,
        clock_, Log("test", LogLevel::kError, clock_, std::make_shared<SilentSink>()));
    presence_->beat();
  }
  void drain(bool draining) {
    ASSERT_TRUE(store_.set_draining("w-1", draining, kActor, soon()).has_value());
    presence_->beat();
  }
  WorkerInfo seen() {
    const auto workers = store_.list_workers(soon());
    return workers->empty() ? WorkerInfo{} : workers->front();
  }
  std::unique_ptr<Presence> presence_;
};

TEST_F(PresenceTest, ADrainedWorkerFinishesWhatItHasAndTakesNothingNew) {
  const JobId running = submit("p");
  begin();
  deliver(running);
  ASSERT_TRUE(engine_.wait_added(1));
  drain(true);
  EXPECT_EQ(metric("sluice_worker_draining"), 1);
  EXPECT_EQ(journal_.count("pause"), 1U);
  const JobId late = submit("late");
  const auto tag = deliver(late);  // Was on its way already.
  ASSERT_TRUE(journal_.wait_for("give_back:" + std::to_string(tag)));
  engine_.finish(key(running));
  ASSERT_TRUE(journal_.wait_for("put:" + running.value));
  EXPECT_EQ(state(running), JobState::kSucceeded);
  EXPECT_EQ(state(late), JobState::kQueued);
  presence_->beat();
  EXPECT_EQ(seen().beat.held_jobs, 0);
  EXPECT_EQ(journal_.count("pause"), 1U) << "told once";

  drain(false);
  EXPECT_EQ(journal_.count("resume"), 1U);
  EXPECT_EQ(metric("sluice_worker_draining"), 0);
  deliver(late);
  ASSERT_TRUE(engine_.wait_added(2));
  engine_.finish(key(late));
  ASSERT_TRUE(journal_.wait_for("put:" + late.value));
}

TEST_F(PresenceTest, WhatWaitsForAPlaceIsLeftToOthers) {
  begin(config(1, 0));
  deliver(submit("p"));
  ASSERT_TRUE(engine_.wait_added(1));
  const JobId waiting = submit("q");
  const auto tag = deliver(waiting);
  drain(true);
  ASSERT_TRUE(journal_.wait_for("give_back:" + std::to_string(tag)));
  EXPECT_EQ(state(waiting), JobState::kQueued);
}

TEST_F(PresenceTest, WithoutTheDatabaseItStaysAsItWasToldLast) {
  begin();
  drain(true);
  store_.fail_next("beat", ErrorCode::kUnavailable, 2);
  presence_->beat();
  presence_->beat();
  EXPECT_EQ(journal_.count("resume"), 0U);
  EXPECT_EQ(metric("sluice_worker_draining"), 1);
  EXPECT_EQ(metric("sluice_worker_store_errors_total{call=\"presence\"}"), 2);
}

TEST_F(PresenceTest, SaysHowMuchItHoldsUntilItSignsOff) {
  begin();
  deliver(submit("p"));
  ASSERT_TRUE(engine_.wait_added(1));
  presence_->beat();
  EXPECT_EQ(seen().beat.held_jobs, 1);
  EXPECT_EQ(seen().beat.engine.size(), 64U) << "what the column holds";
  presence_->stop();
  presence_->sign_off();
  EXPECT_THAT(*store_.list_workers(soon()), IsEmpty());
}

TEST_F(PresenceTest, AStopMayFollowADrain) {
  begin();
  drain(true);
  EXPECT_TRUE(runner_->drain());
  drain(false);
  EXPECT_EQ(journal_.count("resume"), 0U);
}

}  // namespace
}  // namespace sluice::worker
