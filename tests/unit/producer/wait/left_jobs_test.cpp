#include "producer/wait/left_jobs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/support/fake_job_store.h"

namespace sluice::producer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Quiet final : public LogSink {
 public:
  void write(std::string_view) override {}
};

class LeftJobsTest : public ::testing::Test {
 protected:
  Submission submission() {
    Submission one;
    NewJob& fresh = one.jobs.emplace_back();
    fresh.job.id = ids_.make<JobId>(0);
    fresh.job.tenant = kTenant;
    fresh.job.model = "m";
    return one;
  }
  JobId accept(Submission one) {
    std::vector<Submission> all{std::move(one)};
    EXPECT_TRUE(store_.submit(all, soon())[0].has_value());
    return all[0].jobs[0].job.id;
  }
  JobState state_of(const JobId& id) { return store_.get(kTenant, id, soon())->state; }
  int tried() const { return store_.calls("cancel_left"); }
  Deadline soon() { return Deadline::in(clock_, seconds(5)); }

  const TenantId kTenant{"t"};
  ManualClock clock_;
  SeededRng rng_{7};
  IdMaker ids_{clock_, rng_};
  testing::FakeJobStore store_{clock_, ids_};
  NoHotJobs hot_;
  JobReader reader_{store_, hot_, clock_, {}};
  Log log_{"test", LogLevel::kError, clock_, std::make_shared<Quiet>()};
  Waiters waiters_{reader_, {}, clock_, log_, {}};
  LeftJobsConfig config_;
  LeftJobs left_{store_, waiters_, config_, clock_, log_, {}};
};

TEST_F(LeftJobsTest, ALeftJobIsCancelledAndItsWaitersAreTold) {
  const JobId id = accept(submission());
  std::optional<JobState> told;
  ASSERT_TRUE(waiters_.add(kTenant, id, clock_.steady_now() + seconds(60),
                           [&](const Result<Job>& job) { told = job->state; }));
  left_.add(kTenant, id);
  EXPECT_GT(left_.run_once(), seconds(1));
  EXPECT_EQ(state_of(id), JobState::kCancelled);
  waiters_.run_once();
  EXPECT_EQ(told, JobState::kCancelled);
  waiters_.stop();
}

TEST_F(LeftJobsTest, WhoComesBackAfterItsJobWasCancelledGetsANewOne) {
  const IdempotencyClaim claim{std::string(64, 'a'), std::string(64, 'r'), 60};
  Submission first = submission();
  first.claim = claim;
  const JobId id = accept(std::move(first));
  left_.add(kTenant, id);
  left_.run_once();
  EXPECT_EQ(state_of(id), JobState::kCancelled);
  EXPECT_FALSE(store_.find_key(kTenant, claim.key_hash, soon())->has_value());
  Submission again = submission();
  again.claim = claim;
  EXPECT_EQ(state_of(accept(std::move(again))), JobState::kQueued);
}

TEST_F(LeftJobsTest, AnotherTenantsJobIsLeftAlone) {
  const JobId id = accept(submission());
  left_.add(TenantId{"other"}, id);
  left_.run_once();
  EXPECT_EQ(state_of(id), JobState::kQueued);
}

TEST_F(LeftJobsTest, AJobThatIsStillOnItsWayInIsCancelledOnceItIsThere) {
  Submission late = submission();
  const JobId id = late.jobs[0].job.id;
  left_.add(kTenant, id);
  EXPECT_LE(left_.run_once(), config_.retry_every);
  (void)accept(std::move(late));
  clock_.advance(config_.retry_every);
  left_.run_once();
  EXPECT_EQ(state_of(id), JobState::kCancelled);
}

TEST_F(LeftJobsTest, ANewcomerDoesntWaitForThoseThatAreTriedAgain) {
  left_.add(kTenant, submission().jobs[0].job.id);
  left_.run_once();
  const JobId id = accept(submission());
  left_.add(kTenant, id);
  EXPECT_LE(left_.run_once(), config_.retry_every);
  EXPECT_EQ(state_of(id), JobState::kCancelled);
}

TEST_F(LeftJobsTest, ANewcomerDoesntWaitForManyThatAreTriedAgain) {
  constexpr int kMany = 200;
  for (int i = 0; i < kMany; ++i) left_.add(kTenant, submission().jobs[0].job.id);
  while (left_.run_once() == Duration::zero()) {
  }
  EXPECT_EQ(tried(), kMany);
  clock_.advance(config_.retry_every);
  std::vector<JobId> ids;
  const int turn = static_cast<int>(config_.step_max);
  for (int i = 0; i < turn; ++i) left_.add(kTenant, ids.emplace_back(accept(submission())));
  EXPECT_EQ(left_.run_once(), Duration::zero());
  EXPECT_EQ(tried(), kMany + turn);
  const auto cancelled = std::count_if(
      ids.begin(), ids.end(), [this](const JobId& id) { return state_of(id) == JobState::kCancelled; });
  EXPECT_EQ(cancelled, turn - turn / 4) << "those that are due again have a share, and no more";
}

TEST_F(LeftJobsTest, WhatIsNotThereIsAskedForLessAndLess) {
  left_.add(kTenant, submission().jobs[0].job.id);
  const SteadyTime began = clock_.steady_now();
  Duration pause = left_.run_once();
  while (clock_.steady_now() < began + config_.retry_for) {
    ASSERT_GT(pause, Duration::zero());
    EXPECT_LE(pause, config_.retry_every_max);
    clock_.advance(pause);
    pause = left_.run_once();
  }
  EXPECT_LE(tried(), 15);
  clock_.advance(config_.retry_for);
  const int before = tried();
  left_.run_once();
  EXPECT_EQ(tried(), before) << "it was let go";
}

TEST_F(LeftJobsTest, WhatWasNeverWrittenIsNotAskedFor) {
  LeftJobs::OnItsWay dropped(left_, kTenant, submission().jobs[0].job.id);
  dropped.leave();
  dropped.settle(false);
  LeftJobs::OnItsWay refused(left_, kTenant, submission().jobs[0].job.id);
  refused.settle(false);
  refused.leave();
  LeftJobs::OnItsWay stayed(left_, kTenant, accept(submission()));
  stayed.settle(true);
  EXPECT_GT(left_.run_once(), seconds(1));
  EXPECT_EQ(tried(), 0);
}

TEST_F(LeftJobsTest, WhoLeavesBeforeOrAfterItsJobIsWrittenHasItCancelled) {
  const JobId before = accept(submission());
  LeftJobs::OnItsWay early(left_, kTenant, before);
  early.leave();
  left_.run_once();
  EXPECT_EQ(tried(), 0) << "it may not be there yet";
  early.settle(true);
  const JobId after = accept(submission());
  LeftJobs::OnItsWay late(left_, kTenant, after);
  late.settle(true);
  late.leave();
  left_.run_once();
  EXPECT_EQ(state_of(before), JobState::kCancelled);
  EXPECT_EQ(state_of(after), JobState::kCancelled);
}

TEST_F(LeftJobsTest, ADatabaseThatIsAwayEndsTheTurn) {
  std::vector<JobId> ids;
  for (int i = 0; i < 10; ++i) left_.add(kTenant, ids.emplace_back(accept(submission())));
  store_.fail_next("cancel_left", ErrorCode::kUnavailable);
  EXPECT_EQ(left_.run_once(), config_.retry_every);
  EXPECT_EQ(tried(), 1);
  EXPECT_EQ(left_.run_once(), config_.retry_every) << "nor does a newcomer's wake end the pause";
  EXPECT_EQ(tried(), 1);
  // An outage of any length: each is tried before it is given up.
  clock_.advance(config_.retry_for);
  left_.run_once();
  for (const JobId& id : ids) EXPECT_EQ(state_of(id), JobState::kCancelled);
}

TEST_F(LeftJobsTest, OneTenantDoesntTakeAllTheRoom) {
  config_.tenant_jobs_max = 1;
  LeftJobs small(store_, waiters_, config_, clock_, log_, {});
  const JobId first = accept(submission());
  const JobId second = accept(submission());
  Submission foreign = submission();
  const TenantId other{"other"};
  foreign.jobs[0].job.tenant = other;
  const JobId third = accept(std::move(foreign));
  small.add(kTenant, first);
  small.add(kTenant, second);
  small.add(other, third);
  small.run_once();
  EXPECT_EQ(state_of(first), JobState::kCancelled);
  EXPECT_EQ(state_of(second), JobState::kQueued);
  EXPECT_EQ(store_.get(other, third, soon())->state, JobState::kCancelled);
  small.add(kTenant, second);
  small.run_once();
  EXPECT_EQ(state_of(second), JobState::kCancelled) << "the room is free again";
}

TEST_F(LeftJobsTest, ADatabaseThatIsAwayIsAskedAgainForAWhile) {
  const JobId id = accept(submission());
  store_.fail_next("cancel_left", ErrorCode::kUnavailable, 2);
  left_.add(kTenant, id);
  left_.run_once();
  clock_.advance(config_.retry_every);
  left_.run_once();
  EXPECT_EQ(state_of(id), JobState::kQueued);
  clock_.advance(config_.retry_every);
  left_.run_once();
  EXPECT_EQ(state_of(id), JobState::kQueued) << "each pause is longer";
  clock_.advance(config_.retry_every);
  left_.run_once();
  EXPECT_EQ(state_of(id), JobState::kCancelled);

  const JobId other = accept(submission());
  store_.fail_next("cancel_left", ErrorCode::kUnavailable, 2);
  left_.add(kTenant, other);
  left_.run_once();
  clock_.advance(config_.retry_for);
  EXPECT_GT(left_.run_once(), seconds(1)) << "it was given up";
  EXPECT_EQ(state_of(other), JobState::kQueued);
}

TEST_F(LeftJobsTest, MoreThanFitAreLeftToEnd) {
  config_.jobs_max = 1;
  LeftJobs small(store_, waiters_, config_, clock_, log_, {});
  const JobId first = accept(submission());
  const JobId second = accept(submission());
  small.add(kTenant, first);
  small.add(kTenant, second);
  small.run_once();
  EXPECT_EQ(state_of(first), JobState::kCancelled);
  EXPECT_EQ(state_of(second), JobState::kQueued);
  small.add(kTenant, second);
  small.run_once();
  EXPECT_EQ(state_of(second), JobState::kCancelled);
}

}  // namespace
}  // namespace sluice::producer
