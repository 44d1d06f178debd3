// Workers are killed; afterwards every job has ended once.
#include <signal.h>

#include "tests/integration/worker/world.h"

namespace sluice::testing {
namespace {

using namespace std::chrono_literals;

#if defined(SLUICE_FAILPOINTS)

class WorkerCrashWindow : public WorkerWorld, public ::testing::WithParamInterface<const char*> {};

TEST_P(WorkerCrashWindow, EveryJobEndsOnce) {
  const auto doomed = make_worker({{"SLUICE_FAILPOINT", GetParam()}});
  start_loops();
  const auto ids = submit(8);
  ASSERT_EQ(doomed->wait_end(), 128 + SIGKILL) << doomed->log();
  const auto worker = start_worker();
  ASSERT_TRUE(wait_state(ids, JobState::kSucceeded));
  expect_ended_once(ids, JobState::kSucceeded);
}

INSTANTIATE_TEST_SUITE_P(Worker, WorkerCrashWindow,
                         ::testing::Values("worker.after_receive", "worker.after_claim",
                                           "worker.before_finish", "worker.after_commit",
                                           "worker.after_redis", "store.claim_before_commit",
                                           "store.finish_before_commit"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) c = c == '.' ? '_' : c;
                           return name;
                         });

class WorkerCrash : public WorkerWorld {};

TEST_F(WorkerCrash, WhileGivingBackAtAStopLosesNothing) {
  const auto ids = submit(3, fault(RequestFaultKind::kSlow, 1, 600'000));
  const auto doomed =
      start_worker({{"SLUICE_FAILPOINT", "worker.before_finish"}, {"SLUICE_DRAIN_TIMEOUT", "0s"}});
  start_loops();
  ASSERT_TRUE(wait_state(ids, JobState::kRunning));
  doomed->signal(SIGTERM);
  ASSERT_EQ(doomed->wait_end(), 128 + SIGKILL);
  const auto worker = start_worker();
  ASSERT_TRUE(wait_state(ids, JobState::kSucceeded));
  expect_ended_once(ids, JobState::kSucceeded);
}

TEST_F(WorkerCrash, WhileTellingWhatAJobSaysLosesNothing) {
  JobParameters slow = fault(RequestFaultKind::kSlow, std::nullopt, 300);
  slow.stream = true;
  const auto doomed = make_worker({{"SLUICE_FAILPOINT", "worker.after_live_put"}});
  start_loops();
  const auto ids = submit(2, slow);
  ASSERT_EQ(doomed->wait_end(), 128 + SIGKILL) << doomed->log();
  const auto worker = start_worker();
  ASSERT_TRUE(wait_state(ids, JobState::kSucceeded));
  expect_ended_once(ids, JobState::kSucceeded);
}

#endif

class WorkerKilled : public WorkerWorld {};

TEST_F(WorkerKilled, InMidJobItsJobsAreRescuedAndFinishedByAnother) {
  const auto ids = submit(20, fault(RequestFaultKind::kSlow, 1, 600'000));
  const auto doomed = start_worker();
  start_loops();
  ASSERT_TRUE(wait_state(ids, JobState::kRunning));
  doomed->signal(SIGKILL);
  ASSERT_EQ(doomed->wait_end(), 128 + SIGKILL);
  const auto worker = start_worker();
  ASSERT_TRUE(wait_state(ids, JobState::kSucceeded));
  expect_ended_once(ids, JobState::kSucceeded);
  EXPECT_EQ(number("SELECT COUNT(*) FROM job WHERE attempt - attempts_forgiven = 2 AND lapsed_starts = 1"),
            20);
}

TEST_F(WorkerKilled, ByAPoisonJobThreeTimesTheJobIsDeadAndItsMatesAreUnharmed) {
  // The mates are in the engine with it when it strikes first.
  const auto mates = submit(6, fault(RequestFaultKind::kSlow, 1, 600'000));
  auto worker = start_worker();
  start_loops();
  ASSERT_TRUE(wait_state(mates, JobState::kRunning));
  const auto poison = submit(1, fault(RequestFaultKind::kCrash));
  int crashes = 0;
  ASSERT_TRUE(eventually(
      [&] {
        if (!worker->running()) {  // What a supervisor does.
          ++crashes;
          worker = start_worker();
        }
        return job(poison.front()).state == JobState::kDead && in_state(JobState::kSucceeded) == 6;
      },
      90s));
  EXPECT_EQ(crashes, 3);
  expect_ended_once(poison, JobState::kDead);
  EXPECT_EQ(job(poison.front()).error->code, "poison");
  EXPECT_EQ(number("SELECT COUNT(*) FROM dead_letter WHERE reason = 'poison'"), 1);
  expect_ended_once(mates, JobState::kSucceeded);
  // They lost no more starts than those that they shared with the poison before it was a suspect.
  EXPECT_EQ(number("SELECT COUNT(*) FROM job WHERE state = 'succeeded' AND lapsed_starts BETWEEN 1 AND 2"),
            6);
}

TEST_F(WorkerKilled, InTheMidstOfManyJobsAgainAndAgain) {
  std::vector<JobId> ids;
  start_loops(2);
  for (int round = 0; round < 3; ++round) {
    const auto more = submit(300);
    ids.insert(ids.end(), more.begin(), more.end());
    const auto doomed = make_worker();
    const std::int64_t until = number("SELECT COUNT(*) FROM event") + 40;
    ASSERT_TRUE(eventually([&] { return number("SELECT COUNT(*) FROM event") >= until; }, 30s));
    doomed->signal(SIGKILL);
    doomed->wait_end();
  }
  const auto worker = start_worker();
  ASSERT_TRUE(eventually([this] { return in_state(JobState::kSucceeded) == 900; }, 90s));
  EXPECT_EQ(number("SELECT COUNT(*) FROM event"), 900);
  EXPECT_EQ(number("SELECT COUNT(*) FROM job_result"), 900);
}

}  // namespace
}  // namespace sluice::testing
