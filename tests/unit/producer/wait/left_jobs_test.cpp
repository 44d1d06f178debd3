#include "producer/wait/left_jobs.h"

#include <gtest/gtest.h>

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
