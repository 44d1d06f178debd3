#include <gmock/gmock.h>

#include "common/store/mysql_live_store.h"
#include "tests/contract/store/store_world.h"

namespace sluice::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class LiveStoreTest : public StoreContract<MysqlWorld> {
 protected:
  void SetUp() override {
    StoreContract::SetUp();
    if (world_) live_ = std::make_unique<MysqlLiveStore>(MysqlDatabase::instance()->pool());
  }
  std::unique_ptr<LiveStore> live_;
};

TEST_F(LiveStoreTest, OneGlanceSaysHowEachStands) {
  const JobId waits = submit();
  const JobId runs = submit();
  claim(runs);
  const std::vector<JobId> asked{waits, runs, JobId{"job_unknown"}};
  auto glances = *live_->glance(asked, soon());
  ASSERT_THAT(glances, SizeIs(2));
  if (glances[0].id == runs) std::swap(glances[0], glances[1]);
  EXPECT_EQ(glances[0].state, JobState::kQueued);
  EXPECT_EQ(glances[0].tenant, kTenant);
  EXPECT_EQ(glances[0].model, "sluice-tiny");
  EXPECT_EQ(glances[0].prompt_tokens, 7);
  EXPECT_EQ(glances[0].tokens_max, 263);
  EXPECT_EQ(glances[0].started_us, 0);
  EXPECT_EQ(glances[1].state, JobState::kRunning);
  EXPECT_EQ(glances[1].attempt, 1);
  EXPECT_GT(glances[1].started_us, 0);
  EXPECT_THAT(*live_->glance({}, soon()), IsEmpty());
}

TEST_F(LiveStoreTest, TheFrontHoldsThoseThatWaitLongestDueFirst) {
  const JobId first = submit();
  const JobId started = submit();
  claim(started);
  NewJob high = new_job();
  high.job.priority = Priority::kHigh;
  submit(high);
  advance(std::chrono::seconds(10));
  const JobId second = submit();
  const auto front = *live_->queue_front("sluice-tiny", Priority::kNormal, 10, soon());
  ASSERT_THAT(front, SizeIs(2));
  EXPECT_EQ(front[0].id, first);
  EXPECT_EQ(front[0].tokens_max, 263);
  EXPECT_EQ(front[1].id, second);
  EXPECT_THAT(*live_->queue_front("sluice-tiny", Priority::kNormal, 1, soon()), SizeIs(1));
}

TEST_F(LiveStoreTest, TheFleetsRateIsThatOfWorkersThatAreThereAndTakeJobs) {
  MysqlDatabase::instance()->execute("DELETE FROM worker");
  EXPECT_EQ(live_->fleet_rate("m", soon())->places, 0);
  const auto beat = [&](const std::string& id, std::int64_t rate, std::int64_t job_rate) {
    ASSERT_TRUE(world_->fleet().beat(WorkerBeat{id, "m", "echo", "1", 32, 3, rate, job_rate}, soon()));
  };
  beat("silent", 5000, 10);
  advance(std::chrono::seconds(16));
  beat("fast", 1000, 60);
  beat("slow", 200, 20);
  beat("fresh", 0, 0);
  beat("leaving", 5000, 10);
  ASSERT_TRUE(world_->fleet().set_draining("leaving", true, Actor{kTenant, "k"}, soon()));
  const auto rate = live_->fleet_rate("m", soon());
  ASSERT_TRUE(rate) << rate.error().message;
  EXPECT_EQ(rate->places, 96);
  EXPECT_EQ(rate->held_jobs, 9);
  EXPECT_EQ(rate->tokens_per_s, 1200);
  EXPECT_EQ(rate->job_tokens_per_s, 40);
  EXPECT_EQ(live_->fleet_rate("other", soon())->places, 0);
}

}  // namespace
}  // namespace sluice::testing
