// How the real store asks for what is due: what must stay cheap however much waits or has ended.
#include <gtest/gtest.h>

#include <vector>

#include "common/store/mysql_job_store.h"
#include "tests/support/due_tasks.h"
#include "tests/support/mysql_reads.h"
#include "tests/support/mysql_test.h"

namespace sluice {
namespace {

class JobPlans : public testing::MysqlTest {
 protected:
  void prepare() override {
    database_->clear_jobs();
    reads_ = std::make_unique<testing::MysqlReads>(*database_);
    store_ = std::make_unique<MysqlJobStore>(reads_->pool(), ids_, JobRules{});
  }
  void submit(int count, const std::string& tenant) {
    std::vector<Submission> submissions(1);
    for (int i = 0; i < count; ++i) {
      NewJob& fresh = submissions[0].jobs.emplace_back();
      fresh.job.tenant.value = tenant;
      fresh.job.id = ids_.make<JobId>(shard_of_tenant(fresh.job.tenant));
      fresh.job.model = "m";
      fresh.request_json = "{}";
    }
    ASSERT_TRUE(store_->submit(submissions, soon())[0].has_value());
  }
  // Floods take their time to go in.
  Deadline soon() { return Deadline::in(database_->clock(), std::chrono::seconds(30)); }

  SystemClock clock_;
  SystemRng rng_;
  IdMaker ids_{clock_, rng_};
  std::unique_ptr<testing::MysqlReads> reads_;
  std::unique_ptr<MysqlJobStore> store_;
};

TEST_F(JobPlans, ALookForWhatIsDueCostsTheSameWhateverOneTenantHasWaiting) {
  submit(20, "flood");
  for (int i = 0; i < 10; ++i) submit(3, "tenant-" + std::to_string(i));
  const auto look = [&] {
    return reads_->by([&] {
      const auto tenants = store_->due_tenants("m", Priority::kNormal, {}, 256, soon());
      ASSERT_TRUE(tenants) << tenants.error().message;
      EXPECT_EQ(tenants->tenants.size(), 11U);
      const auto due = store_->due_tasks("m", Priority::kNormal, tenants->tenants, 10, soon());
      ASSERT_TRUE(due) << due.error().message;
      EXPECT_EQ(due->size(), 10U + 10 * 3);
      const auto unstarted =
          store_->unstarted_tasks("m", Priority::kNormal, testing::all_shards(), 256, soon());
      ASSERT_TRUE(unstarted) << unstarted.error().message;
      EXPECT_TRUE(unstarted->empty());
    });
  };
  const std::int64_t before = look();
  for (int i = 0; i < 4; ++i) submit(1000, "flood");
  submit(1000, "ended");
  database_->execute(
      "UPDATE job SET state = 'cancelled', finished_at = UTC_TIMESTAMP(6), publish_due = NULL, "
      "expire_due = NULL WHERE tenant_id = 'ended'");
  // Without fresh statistics, as after any flood, and with them.
  EXPECT_LE(look(), before + 10);
  database_->execute("ANALYZE TABLE job");
  EXPECT_LE(look(), before + 10);
}

TEST_F(JobPlans, AnEqualJobCostsTheSameWhateverElseIsKnownOrWaits) {
  const auto add = [&](const std::string& key, int count) {
    std::vector<Submission> submissions(1);
    for (int i = 0; i < count; ++i) {
      NewJob& fresh = submissions[0].jobs.emplace_back();
      fresh.job.tenant.value = "t";
      fresh.job.id = ids_.make<JobId>(shard_of_tenant(fresh.job.tenant));
      fresh.job.model = "m";
      fresh.request_json = "{}";
      fresh.answer_key = key.empty() ? std::string(56, 'x') + std::to_string(10'000'000 + i) : key;
    }
    EXPECT_TRUE(store_->submit(submissions, soon())[0].has_value());
    return submissions[0].jobs.front();
  };
  int round = 0;
  // A leader, one that follows it, their end, and one that finds the result; a look for who was left out.
  const auto cycle = [&] {
    const std::string key(64, static_cast<char>('a' + round++));
    return reads_->by([&] {
      const NewJob leader = add(key, 1);
      EXPECT_EQ(add(key, 1).job.leader_id, leader.job.id);
      const TaskRef task{leader.job.id, 1, 0};
      const auto claimed = store_->claim(std::span(&task, 1), "w", soon());
      ASSERT_EQ(claimed->size(), 1U);
      const Ending ending{claimed->front().ref, "w",
                          Succeeded{JobResult{"x", "", "stop", 1, 1, 0, 0, "", ""}}};
      EXPECT_EQ(store_->finish(std::span(&ending, 1), soon())->front().outcome, EndingOutcome::kEnded);
      EXPECT_EQ(add(key, 1).job.state, JobState::kSucceeded);
      EXPECT_EQ(*store_->settle_followers(100, soon()), 0);
    });
  };
  const std::int64_t before = cycle();
  for (int i = 0; i < 3; ++i) add(std::string(64, '9'), 1000);  // One leads, the others wait for it.
  add("", 3000);
  EXPECT_LE(cycle(), before + 20);
  database_->execute("ANALYZE TABLE job, answer, follower");
  EXPECT_LE(cycle(), before + 20);
}

}  // namespace
}  // namespace sluice
