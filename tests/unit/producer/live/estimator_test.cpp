#include "producer/live/estimator.h"

#include <gtest/gtest.h>

#include "tests/support/fake_job_store.h"

namespace sluice::producer {
namespace {

using std::chrono::seconds;

class Quiet final : public LogSink {
 public:
  void write(std::string_view) override {}
};

class FakeFronts final : public LiveStore {
 public:
  Result<std::vector<JobGlance>> glance(std::span<const JobId>, Deadline) override {
    return std::vector<JobGlance>{};
  }
  Result<std::vector<WaitingJob>> queue_front(const std::string&, Priority priority, int limit,
                                              Deadline) override {
    ++looks;
    auto front = queues[static_cast<std::size_t>(priority)];
    if (front.size() > static_cast<std::size_t>(limit)) front.resize(static_cast<std::size_t>(limit));
    return front;
  }
  Result<FleetRate> fleet_rate(const std::string&, Deadline) override { return rate; }

  std::array<std::vector<WaitingJob>, kPriorities> queues;
  FleetRate rate{.places = 2, .held_jobs = 2, .tokens_per_s = 100, .job_tokens_per_s = 50};
  int looks = 0;
};

class EstimatorTest : public ::testing::Test {
 protected:
  static JobGlance waiting(const std::string& id, std::int64_t tokens,
                           Priority priority = Priority::kNormal) {
    JobGlance glance;
    glance.id.value = id;
    glance.model = "m";
    glance.priority = priority;
    glance.tokens_max = tokens;
    return glance;
  }
  // Asks once, so that it looks, and again.
  std::optional<Estimate> estimate(const JobGlance& job) {
    estimator_.of(job);
    estimator_.run_once();
    return estimator_.of(job);
  }
  std::int64_t in(std::int64_t s) { return (unix_seconds(clock_.wall_now()) + s) * 1'000'000; }

  ManualClock clock_;
  SeededRng rng_{7};
  IdMaker ids_{clock_, rng_};
  testing::FakeJobStore jobs_{clock_, ids_};
  FakeFronts fronts_;
  Estimator estimator_{fronts_, jobs_,
                       {"m"},   {.front_max = 4},
                       clock_,  Log("test", LogLevel::kError, clock_, std::make_shared<Quiet>())};
};

TEST_F(EstimatorTest, WhoWaitsBehindTokensWaitsForThem) {
  fronts_.queues[0] = {{JobId{"job_h"}, 100}};
  fronts_.queues[1] = {{JobId{"job_b"}, 300}, {JobId{"job_a"}, 200}, {JobId{"job_c"}, 400}};
  // Before job_b: one of high priority and job_a, 300 tokens, and what runs is half done: 2 · 150 / 2.
  const auto answer = estimate(waiting("job_b", 300));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->queue_position, 2);
  EXPECT_EQ(answer->start_us, in(5));
  EXPECT_EQ(answer->finish_us, in(11));
  // A new one comes last: 1000 tokens of four, and 250 of what runs.
  const auto fresh = estimator_.of_new("m", Priority::kNormal, 50);
  EXPECT_EQ(fresh->queue_position, 4);
  EXPECT_EQ(fresh->start_us, in(13));
  EXPECT_EQ(fresh->finish_us, in(14));
  EXPECT_EQ(estimator_.of_new("m", Priority::kHigh, 50)->queue_position, 1);
}

TEST_F(EstimatorTest, ABatchEndsWhenAllOfItIsDone) {
  fronts_.queues[1] = {{JobId{"job_a"}, 400}};
  fronts_.queues[2] = {{JobId{"job_b"}, 600}};
  const Deadline now = Deadline::in(clock_, seconds(0));
  EXPECT_FALSE(estimator_.of_batch("m", Priority::kLow, 10, 3'000, now));  // It hasn't looked yet,
  estimator_.run_once();                                                   // but was asked to.
  // Behind two of 500 tokens, and two that are half done.
  auto answer = estimator_.of_batch("m", Priority::kLow, 10, 3'000, now);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->start_us, in(15));
  EXPECT_EQ(answer->finish_us, in(45));
  answer = estimator_.of_batch("m", Priority::kNormal, 10, 3'000, now);
  EXPECT_EQ(answer->start_us, in(8));
  EXPECT_EQ(answer->finish_us, in(38));
  // Few jobs don't use all of the workers' speed.
  EXPECT_EQ(estimator_.of_batch("m", Priority::kNormal, 1, 1'000, now)->finish_us, in(28));
  EXPECT_FALSE(estimator_.of_batch("m", Priority::kLow, 0, 0, now));
  EXPECT_FALSE(estimator_.of_batch("another", Priority::kLow, 1, 1, now));
}

TEST_F(EstimatorTest, ABatchIsWaitedForUntilThereWasALook) {
  estimator_.start();
  EXPECT_TRUE(estimator_.of_batch("m", Priority::kLow, 1, 100, Deadline::in(clock_, seconds(60))));
  estimator_.stop();
}

TEST_F(EstimatorTest, WithAFreePlaceItStartsNow) {
  fronts_.rate.held_jobs = 1;
  const auto answer = estimate(waiting("job_a", 100));
  EXPECT_EQ(answer->queue_position, 0);
  EXPECT_EQ(answer->start_us, in(0));
  EXPECT_EQ(answer->finish_us, in(2));
}

TEST_F(EstimatorTest, WhatWasNotMeasuredIsNotKnown) {
  fronts_.rate = {};
  const auto answer = estimate(waiting("job_a", 100));
  ASSERT_TRUE(answer);
  EXPECT_EQ(*answer, (Estimate{0, 0, 0}));
}

TEST_F(EstimatorTest, BehindTheFrontNobodyCounts) {
  for (const char* id : {"job_a", "job_b", "job_c", "job_d", "job_e"})
    fronts_.queues[1].push_back({JobId{id}, 100});
  std::vector<Submission> submissions(1);
  for (int i = 0; i < 8; ++i) {
    NewJob& fresh = submissions[0].jobs.emplace_back();
    fresh.job.id = ids_.make<JobId>(0);
    fresh.job.tenant.value = "t";
    fresh.job.model = "m";
  }
  ASSERT_TRUE(jobs_.submit(submissions, Deadline::in(clock_, seconds(5)))[0]);
  EXPECT_EQ(estimate(waiting("job_d", 100))->queue_position, 3);
  EXPECT_FALSE(estimator_.of(waiting("job_e", 100)));
  // Those behind count as like those in front.
  const auto fresh = estimator_.of_new("m", Priority::kNormal, 100);
  EXPECT_EQ(fresh->queue_position, 8);
  EXPECT_EQ(fresh->start_us, in(9));
}

TEST_F(EstimatorTest, ARunningJobEndsAfterItsUsualTimeOrNobodyKnowsWhen) {
  JobGlance job = waiting("job_a", 500);
  job.state = JobState::kRunning;
  job.started_us = unix_micros(clock_.wall_now());
  EXPECT_EQ(estimate(job)->finish_us, in(10));
  EXPECT_FALSE(estimate(job)->queue_position);
  clock_.advance(seconds(11));
  EXPECT_EQ(estimate(job)->finish_us, 0);
}

TEST_F(EstimatorTest, NobodyLooksWhileNobodyAsksAndOldNewsAreNone) {
  ASSERT_TRUE(estimate(waiting("job_a", 1)));
  const int looks = fronts_.looks;
  EXPECT_EQ(estimator_.run_once(), seconds(1));
  clock_.advance(seconds(10));
  EXPECT_GT(estimator_.run_once(), seconds(10));
  EXPECT_EQ(fronts_.looks, looks + kPriorities);
  EXPECT_FALSE(estimator_.of(waiting("job_a", 1)));
  EXPECT_FALSE(estimator_.of(waiting("job_a", 1)));
  EXPECT_FALSE(estimator_.of_new("unknown", Priority::kNormal, 1));
}

}  // namespace
}  // namespace sluice::producer
