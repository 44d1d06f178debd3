// Jobs whose worker was lost run alone, so that whatever kills workers takes no neighbour with it.
#include <gmock/gmock.h>

#include "tests/unit/worker/consumer/harness.h"

namespace sluice::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class IsolationTest : public RunnerTest {
 protected:
  void become_suspects(const std::vector<JobId>& ids) {
    for (int lapse = 0; lapse < IntakeConfig{}.suspect_lapses; ++lapse) lose_starts(ids);
  }
};

TEST_F(IsolationTest, OneLostStartMakesNoSuspect) {
  const JobId lost = submit("lost");
  const JobId runs = submit("runs");
  make(config());
  lose_starts({lost});
  ASSERT_EQ(dispatch(), 2U);
  runner_->start();
  ASSERT_TRUE(pass_time_until([&] { return engine_.added().size() == 2; }));
  EXPECT_EQ(metric("sluice_worker_isolated_total"), 0);
  engine_.answer_all();
  ASSERT_TRUE(journal_.wait_count("ack:", 2));
  EXPECT_EQ(state(lost), JobState::kSucceeded);
  EXPECT_EQ(state(runs), JobState::kSucceeded);
}

TEST_F(IsolationTest, WhatWaitsHasItsTurnBetweenTwoSuspects) {
  const std::vector<JobId> suspects = {submit("s0"), submit("s1")};
  make(config());
  become_suspects(suspects);
  ASSERT_EQ(dispatch(), 2U);
  runner_->start();
  ASSERT_TRUE(engine_.wait_added(1));
  const JobId fresh = submit("fresh");
  deliver(fresh);
  engine_.finish(engine_.added().back());
  ASSERT_TRUE(engine_.wait_added(2));
  EXPECT_EQ(engine_.added().back(), key(fresh));
  engine_.answer_all();
  ASSERT_TRUE(pass_time_until([&] {
    return std::all_of(suspects.begin(), suspects.end(),
                       [&](const JobId& id) { return state(id) == JobState::kSucceeded; });
  }));
}

TEST_F(IsolationTest, JobsThatMayLoseOneStartOnlyAreSuspectsAtOnce) {
  EXPECT_EQ(JobRules{.poison_lapses_max = 1}.suspect_lapses(), 1);
  EXPECT_EQ(JobRules{.poison_lapses_max = 2}.suspect_lapses(), 1);
  EXPECT_EQ(JobRules{.poison_lapses_max = 3}.suspect_lapses(), 2);
  EXPECT_EQ(JobRules{.poison_lapses_max = 100}.suspect_lapses(), 2);
}

TEST_F(IsolationTest, LostStartsAreClaimedAndRunOneByOne) {
  std::vector<JobId> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(submit("p" + std::to_string(i)));
  make(config());
  become_suspects(ids);
  ASSERT_EQ(dispatch(), 4U);
  runner_->start();
  for (std::size_t i = 1; i <= ids.size(); ++i) {
    ASSERT_TRUE(engine_.wait_added(i));
    EXPECT_EQ(running(),
              1U);  // The next is claimed only when this one is over: a crash now costs nobody else.
    EXPECT_EQ(runner_->held(), 1U);
    engine_.finish(engine_.added().back());
  }
  ASSERT_TRUE(journal_.wait_count("ack:", 4));
  EXPECT_EQ(engine_.active_peak(), 1U);
  for (const JobId& id : ids) EXPECT_EQ(state(id), JobState::kSucceeded);
  EXPECT_EQ(metric("sluice_worker_isolated_total"), 4);
}

TEST_F(IsolationTest, FreshJobsAreNotClaimedBesideALostOne) {
  const JobId suspect = submit("suspect");
  make(config());
  become_suspects({suspect});
  deliver(suspect, Priority::kHigh);
  runner_->start();
  ASSERT_TRUE(engine_.wait_added(1));
  const JobId fresh = submit("fresh");
  deliver(fresh);
  ASSERT_TRUE(engine_.wait_steps(5));
  EXPECT_EQ(state(fresh), JobState::kQueued);
  engine_.finish(engine_.added().front());
  ASSERT_TRUE(engine_.wait_added(2));
  EXPECT_THAT(engine_.mates_of(key(fresh)), IsEmpty());
}

TEST_F(IsolationTest, BesideRunningOnesALostStartIsGivenBackAndHasItsTurnWhenTheyAreOver) {
  const JobId suspect = submit("suspect");
  make(config());
  become_suspects({suspect});
  runner_->start();
  const JobId runs = submit("runs");
  deliver(runs);
  ASSERT_TRUE(engine_.wait_added(1));
  const auto tag = deliver(suspect);
  ASSERT_TRUE(pass_time_until([&] { return metric("sluice_worker_jobs_total{outcome=\"released\"}") == 1; }));
  EXPECT_EQ(state(suspect), JobState::kQueued);
  EXPECT_EQ(running(), 1U);
  // Nothing new joins until the suspect has had its turn.
  const JobId fresh = submit("fresh");
  deliver(fresh);
  ASSERT_TRUE(engine_.wait_steps(5));
  EXPECT_THAT(engine_.added(), ElementsAre(key(runs)));

  engine_.finish(key(runs));
  ASSERT_TRUE(engine_.wait_added(2));
  const std::string suspect_key = engine_.added().back();
  EXPECT_EQ(suspect_key, key(suspect, 4));
  EXPECT_EQ(journal_.count("ack:" + std::to_string(tag)), 0U);
  engine_.finish(suspect_key);
  ASSERT_TRUE(journal_.wait_for("ack:" + std::to_string(tag)));
  EXPECT_EQ(state(suspect), JobState::kSucceeded);
  EXPECT_THAT(engine_.mates_of(suspect_key), IsEmpty());
  ASSERT_TRUE(engine_.wait_added(3));
  EXPECT_EQ(engine_.added().back(), key(fresh));
}

TEST_F(IsolationTest, AnOrdinaryRetryRunsAmongTheOthers) {
  engine_.refuse("flaky", ErrorCode::kUnavailable, 1);
  const JobId flaky = submit("flaky");
  const JobId runs = submit("runs");
  start(config());
  dispatch();
  ASSERT_TRUE(engine_.wait_added(1));
  ASSERT_TRUE(pass_time_until([&] { return state(flaky) == JobState::kQueued; }));
  ASSERT_TRUE(pass_time_until([&] { return dispatch() == 1; }));
  ASSERT_TRUE(engine_.wait_added(2));
  EXPECT_THAT(engine_.mates_of(key(flaky, 2)), ElementsAre(key(runs)));
  EXPECT_EQ(metric("sluice_worker_isolated_total"), 0);
}

TEST_F(IsolationTest, AnIsolatedStartThatAnotherWorkerTookIsForgotten) {
  const JobId suspect = submit("suspect");
  make(config());
  become_suspects({suspect});
  runner_->start();
  const JobId runs = submit("runs");
  deliver(runs);
  ASSERT_TRUE(engine_.wait_added(1));
  const auto tag = deliver(suspect);
  ASSERT_TRUE(pass_time_until([&] { return metric("sluice_worker_jobs_total{outcome=\"released\"}") == 1; }));
  ASSERT_EQ(store_.claim(std::vector<TaskRef>{{suspect, 1, job(suspect).attempt}}, "w-2", soon())->size(),
            1U);
  engine_.finish(key(runs));
  ASSERT_TRUE(journal_.wait_for("ack:" + std::to_string(tag)));
  engine_.answer_all();
  const JobId next = submit("next");
  const auto next_tag = deliver(next);
  EXPECT_TRUE(journal_.wait_for("ack:" + std::to_string(next_tag)));
  EXPECT_EQ(state(suspect), JobState::kRunning);
}

TEST_F(IsolationTest, PoisonDiesAfterThreeLostStartsAndItsMatesAreUnharmed) {
  engine_.answer_all();
  const JobId poison = submit("poison");
  std::vector<JobId> mates;
  for (int i = 0; i < 5; ++i) mates.push_back(submit("mate"));
  // The first two crashes take everybody who was in the engine with them.
  std::vector<JobId> all = mates;
  all.push_back(poison);
  make(config());
  become_suspects(all);
  // From then on whoever crashes crashes alone; here the poison once more, before any mate has run again.
  EXPECT_EQ(state(poison), JobState::kQueued);
  const TaskRef ref{poison, 1, job(poison).attempt};
  ASSERT_EQ(store_.claim(std::vector<TaskRef>{ref}, "w-crashed", soon())->size(), 1U);
  clock_.advance(std::chrono::seconds(16));
  ASSERT_EQ(*store_.rescue_lapsed(10, soon()), 1);
  EXPECT_EQ(state(poison), JobState::kDead);
  EXPECT_EQ(job(poison).error->code, "poison");
  runner_->start();
  dispatch();
  ASSERT_TRUE(journal_.wait_count("put:", 5));
  for (const JobId& id : mates) EXPECT_EQ(state(id), JobState::kSucceeded);
}

}  // namespace
}  // namespace sluice::worker
