#include "producer/dispatch/operation_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_job_store.h"

namespace sluice::producer {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Quiet final : public LogSink {
 public:
  void write(std::string_view) override {}
};

class OutdatedJobs final : public HotJobs {
 public:
  std::vector<std::optional<Job>> find(std::span<const JobId> ids, Deadline) override {
    return std::vector<std::optional<Job>>(ids.size());
  }
  Status outdate(std::span<const LetterRef> jobs, Deadline) override {
    if (down) return fail(ErrorCode::kUnavailable, "down");
    outdated.insert(outdated.end(), jobs.begin(), jobs.end());
    return {};
  }
  bool down = false;
  std::vector<LetterRef> outdated;
};

class OperationRunnerTest : public ::testing::Test {
 protected:
  JobId dead_job() {
    std::vector<Submission> submissions(1);
    NewJob& fresh = submissions[0].jobs.emplace_back();
    fresh.job.id = ids_.make<JobId>(0);
    fresh.job.tenant.value = "t";
    fresh.job.model = "m";
    EXPECT_TRUE(store_.submit(submissions, soon())[0].has_value());
    const TaskRef task{submissions[0].jobs[0].job.id, 1, 0};
    const auto claimed = store_.claim(std::span(&task, 1), "w", soon());
    const Ending ending{claimed->front().ref, "w", Failed{JobError{"c", "m", "t", ""}, true}};
    EXPECT_TRUE(store_.finish(std::span(&ending, 1), soon()).has_value());
    return task.id;
  }
  void start(OperationKind kind) {
    NewOperation asked;
    asked.kind = kind;
    ASSERT_TRUE(store_.start_operation(asked, Actor{TenantId{"t"}, "k"}, soon()).has_value());
  }
  Deadline soon() { return Deadline::in(clock_, seconds(5)); }

  ManualClock clock_;
  SeededRng rng_{7};
  IdMaker ids_{clock_, rng_};
  testing::FakeJobStore store_{clock_, ids_};
  OutdatedJobs hot_;
  int told_ = 0;
  OperationRunner runner_{store_,
                          store_,
                          hot_,
                          [this] { ++told_; },
                          {},
                          clock_,
                          Log("test", LogLevel::kError, clock_, std::make_shared<Quiet>()),
                          {}};
};

TEST_F(OperationRunnerTest, RedrivesTellsTheDispatcherAndOutdatesTheCopies) {
  const JobId id = dead_job();
  start(OperationKind::kRedrive);
  EXPECT_EQ(runner_.run_once(), Duration::zero()) << "there may be more to do";
  EXPECT_EQ(told_, 1);
  EXPECT_THAT(hot_.outdated, ElementsAre(LetterRef{id, 2}));
  EXPECT_THAT(*store_.due_copies(10, soon()), IsEmpty());
  EXPECT_EQ(runner_.run_once(), Duration(OperationRunnerConfig{}.look_every));
  EXPECT_EQ(told_, 1);
}

TEST_F(OperationRunnerTest, CopiesStayDueWhileRedisIsDown) {
  const JobId id = dead_job();
  start(OperationKind::kRedrive);
  hot_.down = true;
  EXPECT_EQ(runner_.run_once(), Duration::zero()) << "steps don't wait for Redis";
  EXPECT_EQ(told_, 1) << "the job runs all the same";
  EXPECT_EQ(runner_.run_once(), Duration(OperationRunnerConfig{}.retry_after));
  hot_.down = false;
  runner_.run_once();
  EXPECT_THAT(hot_.outdated, ElementsAre(LetterRef{id, 2}));
  EXPECT_THAT(*store_.due_copies(10, soon()), IsEmpty());
}

TEST_F(OperationRunnerTest, ABacklogOfCopiesIsOutdatedWithoutAPause) {
  for (int i = 0; i < 5; ++i) dead_job();
  start(OperationKind::kRedrive);
  hot_.down = true;
  runner_.run_once();
  hot_.down = false;
  OperationRunnerConfig config;
  config.copies_max = 2;
  OperationRunner few(store_, store_, hot_, [] {}, config, clock_,
                      Log("test", LogLevel::kError, clock_, std::make_shared<Quiet>()), {});
  EXPECT_EQ(few.run_once(), Duration::zero());
  EXPECT_EQ(few.run_once(), Duration::zero());
  EXPECT_EQ(few.run_once(), Duration(config.look_every));
  EXPECT_THAT(hot_.outdated, ::testing::SizeIs(5));
  EXPECT_THAT(*store_.due_copies(10, soon()), IsEmpty());
}

TEST_F(OperationRunnerTest, ADiscardWakesNobody) {
  dead_job();
  start(OperationKind::kDiscard);
  runner_.run_once();
  EXPECT_EQ(told_, 0);
  EXPECT_THAT(hot_.outdated, IsEmpty());
}

TEST_F(OperationRunnerTest, AFailedStepIsMadeLater) {
  const JobId id = dead_job();
  start(OperationKind::kRedrive);
  store_.fail_next("step_operation", ErrorCode::kUnavailable);
  EXPECT_EQ(runner_.run_once(), Duration(OperationRunnerConfig{}.retry_after));
  EXPECT_EQ(store_.get(TenantId{}, id, soon())->generation, 1);
  runner_.run_once();
  EXPECT_EQ(store_.get(TenantId{}, id, soon())->generation, 2);
}

}  // namespace
}  // namespace sluice::producer
