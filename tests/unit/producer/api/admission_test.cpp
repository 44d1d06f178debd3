#include "producer/api/admission.h"

#include <gtest/gtest.h>

#include "tests/support/fake_job_store.h"

namespace sluice::producer {
namespace {

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
  Admission admission_{store_, {.queued_max = 10}, clock_, {}};
};

TEST_F(AdmissionTest, CountsWhatItLetInItself) {
  EXPECT_TRUE(admission_.admit(jobs(6)).has_value());
  EXPECT_TRUE(admission_.admit(jobs(4)).has_value());
  const auto full = admission_.admit(jobs(1));
  ASSERT_FALSE(full.has_value());
  EXPECT_EQ(full.error().queued, 10);
  EXPECT_EQ(full.error().model, "m");
  EXPECT_EQ(store_.calls("count_queued"), 1);
}

TEST_F(AdmissionTest, MeasuresWhatWaitsAlsoWhileNoJobsCome) {
  metrics::Registry registry;
  const ApiMetrics metrics = make_producer_metrics(registry, "here").api;
  Admission admission(store_, {.queued_max = 10}, clock_, metrics);
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

TEST_F(AdmissionTest, ZeroIsNoLimit) {
  Admission open(store_, {.queued_max = 0}, clock_, {});
  EXPECT_TRUE(open.admit(jobs(100)).has_value());
}

}  // namespace
}  // namespace sluice::producer
