// The rescuer and the owner of the shard leases.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "producer/dispatch/rescuer.h"
#include "producer/dispatch/shard_owner.h"
#include "tests/support/fake_job_store.h"

namespace sluice::producer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Quiet final : public LogSink {
 public:
  void write(std::string_view) override {}
};

Log quiet(Clock& clock) {
  return Log("test", LogLevel::kError, clock, std::make_shared<Quiet>());
}

class FakeLeases final : public ShardLeases {
 public:
  Result<std::vector<OwnedShard>> renew(const std::string& role, const std::string& owner,
                                        std::chrono::milliseconds lease, Deadline) override {
    roles.push_back(role + "/" + owner + "/" + std::to_string(lease.count()));
    if (down) return fail(ErrorCode::kUnavailable, "down");
    return grants;
  }
  Status release(const std::string& role, const std::string& owner, Deadline) override {
    released.push_back(role + "/" + owner);
    return {};
  }
  bool down = false;
  std::vector<OwnedShard> grants{{3, 1}, {1, 1}};
  std::vector<std::string> roles;
  std::vector<std::string> released;
};

TEST(ShardOwnerTest, OwnsWhatItWasGrantedUntilTheLeaseMayBeOver) {
  ManualClock clock;
  FakeLeases leases;
  ShardOwner owner(leases, "p1", {}, clock, quiet(clock), {});
  EXPECT_THAT(owner.owned(), IsEmpty());
  EXPECT_EQ(owner.run_once(), seconds(3));
  EXPECT_THAT(leases.roles, ElementsAre("dispatch/p1/10000"));
  EXPECT_THAT(owner.owned(), ElementsAre(1, 3));
  leases.down = true;
  clock.advance(milliseconds(8'900));
  EXPECT_LT(owner.run_once(), seconds(3));
  EXPECT_THAT(owner.owned(), ElementsAre(1, 3));
  clock.advance(milliseconds(100));
  EXPECT_THAT(owner.owned(), IsEmpty());
  leases.down = false;
  leases.grants = {{3, 2}};
  owner.run_once();
  EXPECT_THAT(owner.owned(), ElementsAre(3));
}

TEST(ShardOwnerTest, StoppingGivesTheLeasesBack) {
  ManualClock clock;
  FakeLeases leases;
  ShardOwner owner(leases, "p1", {}, clock, quiet(clock), {});
  owner.stop();  // Never started: nothing to give back.
  EXPECT_THAT(leases.released, IsEmpty());
  ShardOwner second(leases, "p2", {}, clock, quiet(clock), {});
  second.start();
  second.stop();
  second.stop();
  EXPECT_THAT(leases.released, ElementsAre("dispatch/p2"));
  EXPECT_THAT(second.owned(), IsEmpty());
}

class RescuerTest : public ::testing::Test {
 protected:
  JobId accept(std::int64_t expires_in_s = 3600) {
    std::vector<Submission> submissions(1);
    NewJob& fresh = submissions[0].jobs.emplace_back();
    fresh.job.id = ids_.make<JobId>(0);
    fresh.job.tenant.value = "t";
    fresh.job.model = "m";
    fresh.expires_in_s = expires_in_s;
    EXPECT_TRUE(store_.submit(submissions, soon())[0].has_value());
    return submissions[0].jobs[0].job.id;
  }
  JobState state(const JobId& id) { return store_.get({}, id, soon())->state; }
  Deadline soon() { return Deadline::in(clock_, seconds(5)); }

  ManualClock clock_;
  SeededRng rng_{7};
  IdMaker ids_{clock_, rng_};
  testing::FakeJobStore store_{clock_, ids_};
  std::vector<int> shards_{0};
  int requeued_ = 0;
  Rescuer rescuer_{
      store_, [this] { return shards_; }, [this] { ++requeued_; }, {.batch_max = 2}, clock_, quiet(clock_),
      {}};
};

TEST_F(RescuerTest, LapsedLeasesGoBackToTheQueue) {
  std::vector<TaskRef> tasks;
  for (int i = 0; i < 3; ++i) tasks.push_back({accept(), 1, 0});
  ASSERT_EQ(store_.claim(tasks, "w", soon())->size(), 3U);
  EXPECT_GT(rescuer_.run_once(), Duration::zero());
  EXPECT_EQ(state(tasks[0].id), JobState::kRunning);
  clock_.advance(seconds(16));
  EXPECT_EQ(rescuer_.run_once(), Duration::zero());  // There may be more.
  EXPECT_EQ(requeued_, 1);
  EXPECT_GT(rescuer_.run_once(), Duration::zero());
  for (const TaskRef& task : tasks) EXPECT_EQ(state(task.id), JobState::kQueued);
}

TEST_F(RescuerTest, JobsWhoseTimeIsOverExpire) {
  const JobId id = accept(5);
  clock_.advance(milliseconds(5'001));
  rescuer_.run_once();
  EXPECT_EQ(state(id), JobState::kExpired);
}

TEST_F(RescuerTest, OneFailureDoesNotStopTheOtherDuty) {
  const JobId id = accept(5);
  clock_.advance(seconds(6));
  store_.fail_next("rescue_lapsed", ErrorCode::kUnavailable);
  EXPECT_EQ(rescuer_.run_once(), seconds(1));
  EXPECT_EQ(state(id), JobState::kExpired);
}

TEST_F(RescuerTest, WithoutShardsItRests) {
  shards_ = {};
  rescuer_.run_once();
  EXPECT_EQ(store_.calls("rescue_lapsed"), 0);
}

}  // namespace
}  // namespace sluice::producer
