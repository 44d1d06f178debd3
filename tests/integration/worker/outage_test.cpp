// The servers come and go while jobs run.
#include <signal.h>

#include "common/rabbitmq/topology.h"
#include "tests/integration/worker/world.h"

namespace sluice::testing {
namespace {

using namespace std::chrono_literals;

class WorkerOutage : public WorkerWorld {
 protected:
  void SetUp() override {
    SLUICE_REQUIRE_OWN_STACK();
    WorkerWorld::SetUp();
  }
};

TEST_F(WorkerOutage, TheBrokerRestartsInMidJobAndTheJobFinishesOnce) {
  const auto ids = submit(5, fault(RequestFaultKind::kSlow, std::nullopt, 3'000));
  const auto worker = start_worker();
  start_loops();
  ASSERT_TRUE(wait_state(ids, JobState::kRunning));
  ASSERT_TRUE(stack("restart rabbitmq"));
  ASSERT_TRUE(wait_state(ids, JobState::kSucceeded));
  expect_ended_once(ids, JobState::kSucceeded);
  EXPECT_EQ(number("SELECT COUNT(*) FROM job WHERE attempt = 1"), 5);
  // What it delivers again names starts that are over.
  ASSERT_TRUE(eventually([&] { return worker->metric("sluice_worker_duplicates_total") >= 5; }, 30s));
  const auto more = submit(5);
  ASSERT_TRUE(wait_state(more, JobState::kSucceeded));
}

TEST_F(WorkerOutage, TheQueuesAreDeletedUnderTheWorkerAndItSubscribesAnew) {
  const auto worker = start_worker();
  start_loops();
  ASSERT_TRUE(wait_state(submit(1), JobState::kSucceeded));
  ASSERT_TRUE(broker_->remove(task_queue_name("echo", Priority::kNormal), soon()));
  const auto ids = submit(5);
  ASSERT_TRUE(wait_state(ids, JobState::kSucceeded));
  expect_ended_once(ids, JobState::kSucceeded);
}

TEST_F(WorkerOutage, WithoutRedisJobsEndAllTheSame) {
  SLUICE_REQUIRE_SERVER("SLUICE_REDIS_HOST");
  const auto worker = start_worker();
  start_loops();
  ServerOutage outage("redis");
  const auto ids = submit(20);
  EXPECT_TRUE(wait_state(ids, JobState::kSucceeded));
  // Counted after the commit.
  EXPECT_TRUE(eventually([&] { return worker->metric("sluice_worker_redis_errors_total") >= 1; }));
  EXPECT_EQ(worker->get("/ready").first, 200);
  ASSERT_TRUE(outage.end());
  expect_ended_once(ids, JobState::kSucceeded);
}

TEST_F(WorkerOutage, WithoutTheDatabaseResultsWaitAndAreWrittenWhenItIsBack) {
  // Long enough for the database to be gone before they end.
  const auto ids = submit(5, fault(RequestFaultKind::kSlow, std::nullopt, 8'000));
  // A lease that outlives the outage.
  const auto worker = start_worker({{"SLUICE_LEASE", "60s"}});
  start_loops();
  ASSERT_TRUE(wait_state(ids, JobState::kRunning));
  loops_->stop();
  number("UPDATE job SET lease_due = lease_due + INTERVAL 60 SECOND WHERE state = 'running'");
  ServerOutage outage("mysql");
  ASSERT_TRUE(eventually(
      [&] { return worker->metric("sluice_worker_store_errors_total{call=\"finish\"}") >= 1; }, 30s));
  EXPECT_EQ(worker->get("/ready").first, 503);
  ASSERT_TRUE(outage.end());
  ASSERT_TRUE(eventually(
      [&] { return worker->metric("sluice_worker_jobs_total{outcome=\"succeeded\"}") == 5; }, 30s));
  expect_ended_once(ids, JobState::kSucceeded);
  EXPECT_EQ(number("SELECT COUNT(*) FROM job WHERE attempt = 1"), 5);
}

TEST_F(WorkerOutage, AStopWithoutTheDatabaseStillEnds) {
  const auto ids = submit(2, fault(RequestFaultKind::kSlow, 1, 600'000));
  const auto worker = start_worker({{"SLUICE_DRAIN_TIMEOUT", "100ms"}});
  start_loops();
  ASSERT_TRUE(wait_state(ids, JobState::kRunning));
  loops_->stop();
  ServerOutage outage("mysql");
  worker->signal(SIGTERM);
  EXPECT_EQ(worker->wait_end(25s), 0);
  ASSERT_TRUE(outage.end());
  start_loops();
  const auto other = start_worker();
  ASSERT_TRUE(wait_state(ids, JobState::kSucceeded));
  expect_ended_once(ids, JobState::kSucceeded);
}

TEST_F(WorkerOutage, AWorkerThatStartsBeforeItsServersWaitsForThem) {
  ServerOutage outage("rabbitmq");
  const auto worker = make_worker();
  ASSERT_TRUE(eventually([&] { return worker->get("/ready").first == 503; }, 20s));
  EXPECT_EQ(worker->get("/health").first, 200);
  ASSERT_TRUE(outage.end());
  ASSERT_TRUE(worker->wait_ready(60s));
  start_loops();
  const auto ids = submit(3);
  ASSERT_TRUE(wait_state(ids, JobState::kSucceeded));
}

}  // namespace
}  // namespace sluice::testing
