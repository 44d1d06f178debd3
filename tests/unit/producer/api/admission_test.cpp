#include "producer/api/admission.h"

#include <gtest/gtest.h>

#include "tests/support/fake_job_store.h"

namespace sluice::producer {
namespace {

// What the test says is waiting.
class SaidBacklog final : public BacklogStore {
 public:
  Result<std::array<Backlog, kPriorities>> model_backlog(const std::string&, Deadline) override {
    return of_model;
  }
  Result<Backlog> tenant_backlog(const TenantId& tenant, std::span<const std::string>, Deadline) override {
    ++asked;
    return of_tenant[tenant];
  }
  std::array<Backlog, kPriorities> of_model{};
  std::map<TenantId, Backlog> of_tenant;
  int asked = 0;
};

class AdmissionTest : public ::testing::Test {
 protected:
  std::vector<NewJob> jobs(int count, Priority priority = Priority::kNormal) {
    std::vector<NewJob> made(static_cast<std::size_t>(count));
    for (NewJob& fresh : made) {
      fresh.job.id = ids_.make<JobId>(0);
      fresh.job.tenant.value = "t";
      fresh.job.model = "m";
      fresh.job.priority = priority;
    }
    return made;
  }
  void store(std::vector<NewJob> made) {
    std::vector<Submission> submissions(1);
    submissions[0].jobs = std::move(made);
    ASSERT_TRUE(store_.submit(submissions, Deadline::in(clock_, std::chrono::seconds(1)))[0].has_value());
  }

  ManualClock clock_;
  SeededRng rng_{1};
  IdMaker ids_{clock_, rng_};
  testing::FakeJobStore store_{clock_, ids_};
  SaidBacklog backlog_;
  Admission admission_{store_, backlog_, {"m"}, {.queued_max = 10}, clock_, {}};
};

TEST_F(AdmissionTest, CountsWhatItLetInItself) {
  EXPECT_TRUE(admission_.admit(jobs(6)).has_value());
  EXPECT_TRUE(admission_.admit(jobs(4)).has_value());
  const auto full = admission_.admit(jobs(1));
  ASSERT_FALSE(full.has_value());
  EXPECT_EQ(full.error().status, 503);
  EXPECT_EQ(full.error().code, "queue_full");
  EXPECT_NE(full.error().message.find("10 jobs of priority normal wait for model 'm'"), std::string::npos);
  EXPECT_EQ(store_.calls("count_queued"), 1);
}

TEST_F(AdmissionTest, MeasuresWhatWaitsAlsoWhileNoJobsCome) {
  metrics::Registry registry;
  const ApiMetrics metrics = make_producer_metrics(registry, "here").api;
  Admission admission(store_, backlog_, {"m"}, {.queued_max = 10}, clock_, metrics);
  store(jobs(3));
  store(jobs(2, Priority::kLow));
  const std::vector<std::string> models = {"m"};
  admission.measure(models);
  const std::string text = registry.expose();
  EXPECT_NE(text.find("sluice_producer_jobs_queued{model=\"m\",priority=\"normal\"} 3"), std::string::npos)
      << text;
  EXPECT_NE(text.find("sluice_producer_jobs_queued{model=\"m\",priority=\"low\"} 2"), std::string::npos)
      << text;
  EXPECT_NE(text.find("sluice_producer_jobs_queued{model=\"m\",priority=\"high\"} 0"), std::string::npos)
      << text;
}

TEST_F(AdmissionTest, AsksTheDatabaseAgainAfterAWhile) {
  EXPECT_TRUE(admission_.admit(jobs(10)).has_value());  // They are done at once.
  EXPECT_FALSE(admission_.admit(jobs(1)).has_value());
  clock_.advance(std::chrono::seconds(1));
  EXPECT_TRUE(admission_.admit(jobs(1)).has_value());
}

TEST_F(AdmissionTest, ClassesHaveLimitsOfTheirOwn) {
  store(jobs(10, Priority::kLow));
  EXPECT_FALSE(admission_.admit(jobs(1, Priority::kLow)).has_value());
  EXPECT_TRUE(admission_.admit(jobs(1, Priority::kHigh)).has_value());
}

TEST_F(AdmissionTest, AllOrNone) {
  store(jobs(10, Priority::kLow));
  std::vector<NewJob> mixed = jobs(10, Priority::kHigh);
  mixed.push_back(jobs(1, Priority::kLow).front());
  EXPECT_FALSE(admission_.admit(mixed).has_value());
  EXPECT_TRUE(admission_.admit(jobs(10, Priority::kHigh)).has_value());
}

TEST_F(AdmissionTest, ADatabaseThatCantCountRefusesNobody) {
  store_.fail_next("count_queued", ErrorCode::kUnavailable);
  EXPECT_TRUE(admission_.admit(jobs(1)).has_value());
}

TEST_F(AdmissionTest, ATenantMayHaveSoManyJobsAndTokensWaiting) {
  Admission admission(store_, backlog_, {"m"}, {.tenant_jobs_max = 10, .tenant_tokens_max = 1000}, clock_,
                      {});
  backlog_.of_tenant[TenantId{"t"}] = {5, 500, 1};
  auto few = jobs(2);
  for (NewJob& fresh : few) fresh.tokens_max = 200;
  EXPECT_TRUE(admission.admit(few).has_value());
  auto refused = admission.admit(few);  // What it let in itself counts.
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().status, 429);
  EXPECT_EQ(refused.error().code, "quota_exceeded");
  refused = admission.admit(jobs(4));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, "tenant_queue_full");
  auto others = jobs(4);
  for (NewJob& fresh : others) fresh.job.tenant.value = "other";
  EXPECT_TRUE(admission.admit(others).has_value());
  EXPECT_EQ(backlog_.asked, 2);
}

TEST_F(AdmissionTest, WhatWouldExpireBeforeItEndsIsRefused) {
  std::optional<double> rate = 100;
  Admission admission(store_, backlog_, {"m"}, {.refuse_late = true}, clock_, {},
                      [&](const std::string&) { return rate; });
  const auto one = [&](Priority priority, std::int64_t expires_in_s) {
    auto made = jobs(1, priority);
    made[0].tokens_max = 500;
    made[0].expires_in_s = expires_in_s;
    return made;
  };
  backlog_.of_model[static_cast<std::size_t>(Priority::kNormal)] = {1000, 100'000, 3};
  // Its turn comes among four tenants: 20 s. All that waits would take 1,005 s.
  EXPECT_FALSE(admission.admit(one(Priority::kNormal, 19)).has_value());
  EXPECT_TRUE(admission.admit(one(Priority::kNormal, 21)).has_value());
  EXPECT_TRUE(admission.admit(one(Priority::kHigh, 11)).has_value());
  backlog_.of_tenant[TenantId{"t"}] = {1000, 90'000, 1};
  clock_.advance(std::chrono::seconds(1));
  const auto refused = admission.admit(one(Priority::kNormal, 1000));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().status, 503);
  EXPECT_EQ(refused.error().code, "predicted_wait_too_long");
  EXPECT_GE(refused.error().retry_after_s, 1);
  EXPECT_LE(refused.error().retry_after_s, 59);
  EXPECT_EQ(admission.predicted_wait(), 1000.0);
  rate.reset();
  clock_.advance(std::chrono::seconds(1));
  EXPECT_TRUE(admission.admit(one(Priority::kNormal, 1)).has_value());
  EXPECT_EQ(admission.predicted_wait(), std::nullopt);
}

TEST_F(AdmissionTest, ZeroIsNoLimit) {
  Admission open(store_, backlog_, {"m"}, {.queued_max = 0}, clock_, {});
  EXPECT_TRUE(open.admit(jobs(100)).has_value());
}

}  // namespace
}  // namespace sluice::producer
