// Rate limits and backlogs on the real database.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/store/mysql_backlog_store.h"
#include "common/store/mysql_limit_store.h"
#include "tests/contract/store/store_world.h"
#include "tests/support/mysql_test.h"

namespace sluice {
namespace {

using ::testing::SizeIs;

class LimitStoreContract : public testing::MysqlTest {
 protected:
  void prepare() override {
    database_->clear_jobs();
    database_->execute("DELETE FROM rate_limit");
    store_ = std::make_unique<MysqlLimitStore>(database_->pool(), ids_);
  }

  SystemClock clock_;
  SystemRng rng_;
  IdMaker ids_{clock_, rng_};
  std::unique_ptr<MysqlLimitStore> store_;
  const Actor actor_{TenantId{"ops"}, "night shift ...1234"};
};

TEST_F(LimitStoreContract, LimitsAreSetChangedUnsetAndAudited) {
  RateLimit limit{.name = "per-key", .quota = 100, .window_s = 60};
  ASSERT_TRUE(store_->set_limit(limit, actor_, soon()));
  limit.key.clear();
  limit.tenant = "t";
  limit.route = "/v1/jobs/{id}";
  limit.region = "north";
  limit.unit = LimitUnit::kTokens;
  limit.quota = 1'000'000'000'000;
  ASSERT_TRUE(store_->set_limit(limit, actor_, soon()));
  const auto limits = store_->list_limits(soon());
  ASSERT_THAT(*limits, SizeIs(1));
  const RateLimit& read = limits->front();
  EXPECT_EQ(limit_to_json(read), limit_to_json(limit));
  EXPECT_GT(read.changed_us, 0);
  ASSERT_TRUE(store_->unset_limit("per-key", actor_, soon()));
  EXPECT_THAT(*store_->list_limits(soon()), SizeIs(0));
  EXPECT_EQ(store_->unset_limit("per-key", actor_, soon()).error().code, ErrorCode::kNotFound);
  MysqlAuditStore audit(database_->pool(), ids_);
  const auto entries = audit.list_audit({.action = "limits.", .limit = 3}, soon());
  ASSERT_THAT(*entries, SizeIs(3));
  EXPECT_EQ((*entries)[0].action, "limits.unset");
  EXPECT_EQ((*entries)[1].target, "per-key");
  EXPECT_EQ((*entries)[1].filter_json, limit_to_json(limit));
  EXPECT_EQ((*entries)[1].actor, actor_);
}

TEST_F(LimitStoreContract, BacklogsCountWhatIsQueuedAndNothingElse) {
  MysqlJobStore jobs(database_->pool(), ids_, JobRules{});
  const auto submit = [&](const std::string& tenant, Priority priority, std::int64_t tokens, bool reserved) {
    std::vector<Submission> submissions(1);
    NewJob& fresh = submissions[0].jobs.emplace_back();
    fresh.job.tenant.value = tenant;
    fresh.job.id = ids_.make<JobId>(shard_of_tenant(fresh.job.tenant));
    fresh.job.model = "m";
    fresh.job.priority = priority;
    fresh.request_json = "{}";
    fresh.tokens_max = tokens;
    fresh.publish_reserved = reserved;
    EXPECT_TRUE(jobs.submit(submissions, soon())[0].has_value());
    return fresh.job.id;
  };
  submit("a", Priority::kNormal, 10, false);
  submit("a", Priority::kNormal, 20, true);
  submit("b", Priority::kNormal, 40, false);
  submit("b", Priority::kLow, 80, false);
  const TaskRef started{submit("a", Priority::kNormal, 1000, false), 1, 0};
  ASSERT_THAT(*jobs.claim(std::span(&started, 1), "w", soon()), SizeIs(1));
  MysqlBacklogStore backlog(database_->pool());
  const auto of_model = backlog.model_backlog("m", soon());
  ASSERT_TRUE(of_model) << of_model.error().message;
  const Backlog& normal = (*of_model)[static_cast<std::size_t>(Priority::kNormal)];
  EXPECT_EQ(normal.jobs, 3);
  EXPECT_EQ(normal.tokens, 70);
  EXPECT_EQ(normal.tenants, 2);
  EXPECT_EQ((*of_model)[static_cast<std::size_t>(Priority::kLow)].tokens, 80);
  EXPECT_EQ((*of_model)[static_cast<std::size_t>(Priority::kHigh)].jobs, 0);
  const std::vector<std::string> models = {"m", "other"};
  EXPECT_EQ(backlog.tenant_backlog(TenantId{"b"}, models, soon())->tokens, 120);
  EXPECT_EQ(backlog.tenant_backlog(TenantId{"a"}, models, soon())->jobs, 2);
  EXPECT_EQ(backlog.tenant_backlog(TenantId{"nobody"}, models, soon())->jobs, 0);
}

}  // namespace
}  // namespace sluice
