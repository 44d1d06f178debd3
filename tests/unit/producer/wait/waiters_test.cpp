#include "producer/wait/waiters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/support/fake_job_store.h"

namespace sluice::producer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class Quiet final : public LogSink {
 public:
  void write(std::string_view) override {}
};

class FakeHotJobs final : public HotJobs {
 public:
  std::vector<std::optional<Job>> find(std::span<const JobId> ids, Deadline) override {
    std::vector<std::optional<Job>> found;
    for (const JobId& id : ids) {
      const auto job = jobs.find(id.value);
      found.push_back(job == jobs.end() ? std::nullopt : std::optional(job->second));
    }
    asked += ids.size();
    return found;
  }
  Status outdate(std::span<const LetterRef>, Deadline) override { return {}; }
  std::map<std::string, Job> jobs;
  std::size_t asked = 0;
};

class WaitersTest : public ::testing::Test {
 protected:
  JobId accept(const std::string& tenant = "t") {
    std::vector<Submission> submissions(1);
    NewJob& fresh = submissions[0].jobs.emplace_back();
    fresh.job.id = ids_.make<JobId>(0);
    fresh.job.tenant.value = tenant;
    fresh.job.model = "m";
    EXPECT_TRUE(store_.submit(submissions, soon())[0].has_value());
    return submissions[0].jobs[0].job.id;
  }
  void end(const JobId& id) { EXPECT_TRUE(store_.cancel(TenantId{"t"}, id, soon()).has_value()); }
  std::optional<Waiters::Ticket> wait(const JobId& id, milliseconds time, const std::string& tenant = "t") {
    return waiters_.add(TenantId{tenant}, id, clock_.steady_now() + time,
                        [this](Result<Job> job) { answers_.push_back(std::move(job)); });
  }
  Deadline soon() { return Deadline::in(clock_, seconds(5)); }

  ManualClock clock_;
  SeededRng rng_{7};
  IdMaker ids_{clock_, rng_};
  testing::FakeJobStore store_{clock_, ids_};
  FakeHotJobs hot_;
  JobReader reader_{store_, hot_, clock_, {}};
  std::vector<Result<Job>> answers_;  // Outlives the waiters, who answer all when they end.
  Waiters waiters_{reader_,
                   {.waiters_max = 100},
                   clock_,
                   Log("test", LogLevel::kError, clock_, std::make_shared<Quiet>()),
                   {}};
};

TEST_F(WaitersTest, AnEventEndsTheWaitAtOnce) {
  const JobId id = accept();
  ASSERT_TRUE(wait(id, seconds(60)).has_value());
  waiters_.run_once();
  EXPECT_THAT(answers_, IsEmpty());
  end(id);
  waiters_.notify(id);
  waiters_.run_once();
  ASSERT_THAT(answers_, SizeIs(1));
  EXPECT_EQ(answers_[0]->state, JobState::kCancelled);
  EXPECT_EQ(waiters_.size(), 0U);
}

TEST_F(WaitersTest, AnEventThatWasLostCostsAQuarterOfASecond) {
  const JobId id = accept();
  wait(id, seconds(60));
  EXPECT_LE(waiters_.run_once(), milliseconds(250));
  end(id);
  clock_.advance(milliseconds(249));
  waiters_.run_once();
  EXPECT_THAT(answers_, IsEmpty());
  clock_.advance(milliseconds(1));
  waiters_.run_once();
  EXPECT_THAT(answers_, SizeIs(1));
}

TEST_F(WaitersTest, OneLookServesAllWhoWait) {
  std::vector<JobId> ids;
  for (int i = 0; i < 60; ++i) ids.push_back(accept());
  for (const JobId& id : ids) wait(id, seconds(60));
  for (int i = 0; i < 40; ++i) wait(ids[0], seconds(60));
  const int before = store_.calls("get_final");
  for (const JobId& id : ids) end(id);
  clock_.advance(milliseconds(250));
  waiters_.run_once();
  EXPECT_EQ(store_.calls("get_final") - before, 1);
  EXPECT_THAT(answers_, SizeIs(100));
}

TEST_F(WaitersTest, TheEndOfTheTimeAnswersWithTheJobAsItIs) {
  const JobId id = accept();
  wait(id, milliseconds(1500));
  ASSERT_EQ(store_.claim({{TaskRef{id, 1, 0}}}, "w", soon())->size(), 1U);
  clock_.advance(milliseconds(1499));
  waiters_.run_once();
  EXPECT_THAT(answers_, IsEmpty());
  clock_.advance(milliseconds(1));
  waiters_.run_once();
  ASSERT_THAT(answers_, SizeIs(1));
  EXPECT_EQ(answers_[0]->state, JobState::kRunning);
}

TEST_F(WaitersTest, ShortWaitsAreNotRoundedUpToThePoll) {
  const JobId id = accept();
  wait(id, seconds(60));
  wait(id, milliseconds(20));
  EXPECT_LE(waiters_.run_once(), milliseconds(20));
}

TEST_F(WaitersTest, AFinishedJobInRedisSparesTheDatabase) {
  const JobId id = accept();
  wait(id, seconds(60));
  Job done = *store_.get({}, id, soon());
  done.state = JobState::kSucceeded;
  hot_.jobs[id.value] = done;
  waiters_.notify(id);
  const int before = store_.calls("get_final");
  waiters_.run_once();
  EXPECT_EQ(store_.calls("get_final"), before);
  ASSERT_THAT(answers_, SizeIs(1));
  EXPECT_EQ(answers_[0]->state, JobState::kSucceeded);
}

TEST_F(WaitersTest, ACopyOfSomebodyElsesJobAnswersNobody) {
  const JobId id = accept();
  wait(id, seconds(60));
  Job foreign = *store_.get({}, id, soon());
  foreign.tenant.value = "other";
  foreign.state = JobState::kSucceeded;
  hot_.jobs[id.value] = foreign;
  waiters_.notify(id);
  waiters_.run_once();
  EXPECT_THAT(answers_, IsEmpty());
  EXPECT_EQ(reader_.get(TenantId{"t"}, id, soon())->state, JobState::kQueued);
}

TEST_F(WaitersTest, AClientThatLeavesIsForgotten) {
  const JobId id = accept();
  const auto ticket = wait(id, seconds(60));
  EXPECT_TRUE(waiters_.remove(*ticket, "left"));
  EXPECT_FALSE(waiters_.remove(*ticket, "left"));
  EXPECT_EQ(waiters_.size(), 0U);
  end(id);
  waiters_.notify(id);
  clock_.advance(seconds(61));
  waiters_.run_once();
  EXPECT_THAT(answers_, IsEmpty());
}

TEST_F(WaitersTest, AnAnsweredTicketCantBeRemoved) {
  const JobId id = accept();
  const auto ticket = wait(id, seconds(60));
  end(id);
  waiters_.notify(id);
  waiters_.run_once();
  EXPECT_FALSE(waiters_.remove(*ticket, "left"));
}

TEST_F(WaitersTest, TooManyAreToldAtOnce) {
  const JobId id = accept();
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(wait(id, seconds(60)).has_value());
  EXPECT_FALSE(wait(id, seconds(60)).has_value());
}

TEST_F(WaitersTest, AnOutageOfTheDatabaseEndsNoWaitEarly) {
  const JobId id = accept();
  wait(id, seconds(2));
  end(id);
  store_.fail_next("get_final", ErrorCode::kUnavailable);
  waiters_.notify(id);
  waiters_.run_once();
  EXPECT_THAT(answers_, IsEmpty());
  clock_.advance(milliseconds(250));
  waiters_.run_once();
  EXPECT_THAT(answers_, SizeIs(1));
}

TEST_F(WaitersTest, AnOutageAtTheEndOfTheTimeIsTold) {
  wait(accept(), seconds(2));
  clock_.advance(seconds(2));
  store_.fail_next("get", ErrorCode::kUnavailable);
  waiters_.run_once();
  ASSERT_THAT(answers_, SizeIs(1));
  EXPECT_EQ(answers_[0].error().code, ErrorCode::kUnavailable);
}

TEST_F(WaitersTest, StoppingAnswersEverybody) {
  for (int i = 0; i < 5; ++i) wait(accept(), seconds(60));
  waiters_.stop();
  ASSERT_THAT(answers_, SizeIs(5));
  EXPECT_EQ(answers_[0]->state, JobState::kQueued);
  EXPECT_FALSE(wait(accept(), seconds(60)).has_value());
  waiters_.stop();
}

TEST_F(WaitersTest, AfterAGapAllAreLookedAt) {
  const JobId id = accept();
  wait(id, seconds(60));
  waiters_.run_once();
  end(id);
  waiters_.look_again();
  waiters_.run_once();
  EXPECT_THAT(answers_, SizeIs(1));
}

TEST(WaitersLoop, RunsByItself) {
  SystemClock clock;
  SystemRng rng;
  IdMaker ids(clock, rng);
  testing::FakeJobStore store(clock, ids);
  NoHotJobs hot;
  JobReader reader(store, hot, clock, {});
  Waiters waiters(reader, {}, clock, Log("test", LogLevel::kError, clock, std::make_shared<Quiet>()), {});
  std::vector<Submission> submissions(1);
  submissions[0].jobs.emplace_back().job.id = ids.make<JobId>(0);
  submissions[0].jobs[0].job.tenant.value = "t";
  const JobId id = submissions[0].jobs[0].job.id;
  ASSERT_TRUE(store.submit(submissions, Deadline::in(clock, seconds(5)))[0].has_value());
  waiters.start();
  std::promise<JobState> ended;
  ASSERT_TRUE(waiters
                  .add(TenantId{"t"}, id, clock.steady_now() + seconds(30),
                       [&](Result<Job> job) { ended.set_value(job->state); })
                  .has_value());
  ASSERT_TRUE(store.cancel(TenantId{"t"}, id, Deadline::in(clock, seconds(5))).has_value());
  waiters.notify(id);
  EXPECT_EQ(ended.get_future().get(), JobState::kCancelled);
  waiters.stop();
}

}  // namespace
}  // namespace sluice::producer
