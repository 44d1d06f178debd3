// How jobs end, on real servers.
#include <signal.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/rabbitmq/topology.h"
#include "common/store/mysql_fleet_store.h"
#include "common/store/task_message.h"
#include "tests/integration/worker/world.h"

namespace sluice::testing {
namespace {

using namespace std::chrono_literals;

class Jobs : public WorkerWorld {};

TEST_F(Jobs, FinishExactlyOnceThoughEveryMessageComesThreeTimesToTwoWorkers) {
  const auto ids = submit(200);
  const auto first = start_worker();
  const auto second = start_worker();
  start_loops(3);
  ASSERT_TRUE(eventually([this] { return in_state(JobState::kSucceeded) == 200; }, 60s));
  expect_ended_once(ids, JobState::kSucceeded);
  EXPECT_EQ(number("SELECT COUNT(*) FROM job WHERE attempt = 1"), 200);
  EXPECT_EQ(job(ids[7]).result->text, "prompt 7");
  // All copies are gone, and none of them ran.
  ASSERT_TRUE(eventually([&] {
    return first->metric("sluice_worker_acks_total") + second->metric("sluice_worker_acks_total") >= 600;
  }));
  EXPECT_EQ(messages(task_queue_name("echo", Priority::kNormal)), 0U);
  EXPECT_GE(
      first->metric("sluice_worker_duplicates_total") + second->metric("sluice_worker_duplicates_total"),
      400);
}

TEST_F(Jobs, AreInRedisWhenTheyHaveEnded) {
  SLUICE_REQUIRE_SERVER("SLUICE_REDIS_HOST");
  RedisConfig config;
  config.host = env_or("SLUICE_REDIS_HOST", "");
  config.port = std::atoi(env_or("SLUICE_REDIS_PORT", "").c_str());
  config.password = Secret(env_or("SLUICE_REDIS_PASSWORD", ""));
  RedisPool redis(config, parts().clock, parts().rng, parts().log);
  const auto worker = start_worker();
  start_loops();
  const JobId id = submit(1).front();
  ASSERT_TRUE(wait_state({id}, JobState::kSucceeded));
  Result<RedisReply> reply = fail(ErrorCode::kNotFound, "");
  ASSERT_TRUE(eventually([&] {
    reply = redis.command({"GET", "sluice:job:" + id.value}, soon());
    return reply && !reply->is_nil();
  }));
  const auto cached = job_from_cache(reply->text);
  ASSERT_TRUE(cached) << cached.error().message;
  EXPECT_EQ(job_to_json(*cached), job_to_json(job(id)));
  const auto ttl = redis.command({"TTL", "sluice:job:" + id.value}, soon());
  EXPECT_GT(ttl->integer, 3500);
  EXPECT_LE(ttl->integer, 3600);
}

TEST_F(Jobs, ThatFailInPassingAreTriedAgainUntilTheySucceed) {
  const auto ids = submit(3, fault(RequestFaultKind::kTransient, 2));
  const auto worker = start_worker();
  start_loops();
  ASSERT_TRUE(wait_state(ids, JobState::kSucceeded));
  expect_ended_once(ids, JobState::kSucceeded);
  for (const JobId& id : ids) EXPECT_EQ(job(id).attempt, 3);
}

TEST_F(Jobs, ThatAlwaysFailInPassingAreDeadAfterFiveAttempts) {
  const auto ids = submit(2, fault(RequestFaultKind::kTransient, 100));
  const auto worker = start_worker();
  start_loops();
  ASSERT_TRUE(wait_state(ids, JobState::kDead));
  expect_ended_once(ids, JobState::kDead);
  for (const JobId& id : ids) {
    EXPECT_EQ(job(id).attempt, 5);
    EXPECT_EQ(job(id).error->code, "engine_unavailable");
  }
  EXPECT_EQ(number("SELECT COUNT(*) FROM dead_letter WHERE reason = 'attempts'"), 2);
}

TEST_F(Jobs, ThatCannotSucceedFailAtOnceBesideTheirUnharmedMates) {
  const auto bad = submit(2, fault(RequestFaultKind::kPermanent));
  const auto good = submit(10);
  const auto worker = start_worker();
  start_loops();
  ASSERT_TRUE(wait_state(good, JobState::kSucceeded));
  ASSERT_TRUE(wait_state(bad, JobState::kFailed));
  expect_ended_once(bad, JobState::kFailed);
  for (const JobId& id : bad) EXPECT_EQ(job(id).attempt, 1);
}

TEST_F(Jobs, ThatAreCancelledLeaveTheEngineWithinAHeartbeat) {
  const auto ids = submit(1, fault(RequestFaultKind::kSlow, std::nullopt, 600'000));
  const auto worker = start_worker();
  start_loops();
  ASSERT_TRUE(wait_state(ids, JobState::kRunning));
  ASSERT_TRUE(store_->cancel({"acme"}, ids.front(), soon()));
  ASSERT_TRUE(
      eventually([&] { return worker->metric("sluice_worker_jobs_total{outcome=\"lost\"}") == 1; }, 5s));
  EXPECT_EQ(worker->metric("sluice_worker_active_jobs"), 0);
  expect_ended_once(ids, JobState::kCancelled);
}

TEST_F(Jobs, OfAllPrioritiesShareAFullWorkerByWeight) {
  const auto worker = start_worker(
      {{"SLUICE_BATCH_JOBS_MAX", "13"}, {"SLUICE_BATCH_AHEAD_MAX", "0"}, {"SLUICE_BATCH_EXPRESS_MAX", "0"}});
  // All places are taken while the queues fill.
  const auto plug = submit(13, fault(RequestFaultKind::kSlow, std::nullopt, 600'000));
  start_loops();
  ASSERT_TRUE(wait_state(plug, JobState::kRunning));
  const JobParameters slow = fault(RequestFaultKind::kSlow, std::nullopt, 600'000);
  const auto low = submit(26, slow, Priority::kLow);
  const auto normal = submit(26, slow, Priority::kNormal);
  const auto high = submit(26, slow, Priority::kHigh);
  for (const char* priority : {"high", "normal", "low"}) {
    const std::string series = std::string("sluice_worker_deliveries_total{priority=\"") + priority + "\"}";
    ASSERT_TRUE(eventually([&] { return worker->metric(series) >= 26; })) << priority;
  }
  ASSERT_EQ(in_state(JobState::kRunning), 13);
  for (const JobId& id : plug) ASSERT_TRUE(store_->cancel({"acme"}, id, soon()));
  ASSERT_TRUE(eventually([this] { return in_state(JobState::kRunning) == 13; }));
  const auto running = [this](const std::vector<JobId>& ids) {
    return std::count_if(ids.begin(), ids.end(),
                         [this](const JobId& id) { return job(id).state == JobState::kRunning; });
  };
  EXPECT_EQ(running(high), 8);
  EXPECT_EQ(running(normal), 4);
  EXPECT_EQ(running(low), 1);
}

TEST_F(Jobs, GoOnAfterAMessageThatNobodyCanRead) {
  const auto worker = start_worker();
  publish("no task at all");
  publish(R"({"job_id":"job_x","generation":1,"attempt":0})");
  start_loops();
  const auto ids = submit(3);
  ASSERT_TRUE(wait_state(ids, JobState::kSucceeded));
  ASSERT_TRUE(eventually([&] { return messages(kReturnedQueue) == 2; }));
  EXPECT_EQ(worker->metric("sluice_worker_malformed_total"), 2);
}

TEST_F(Jobs, ThatRunAtAStopFinishAndTheOthersAreGivenBackUnharmed) {
  const auto slow = submit(4, fault(RequestFaultKind::kSlow, 1, 1'500));
  auto worker = start_worker(
      {{"SLUICE_BATCH_JOBS_MAX", "4"}, {"SLUICE_BATCH_AHEAD_MAX", "2"}, {"SLUICE_BATCH_EXPRESS_MAX", "0"}});
  start_loops();
  ASSERT_TRUE(wait_state(slow, JobState::kRunning));
  const auto waiting = submit(20, fault(RequestFaultKind::kSlow, 1, 60'000));
  ASSERT_TRUE(eventually([this] { return in_state(JobState::kRunning) == 6; }));
  worker->signal(SIGTERM);
  EXPECT_EQ(worker->wait_end(15s), 0) << worker->log();
  expect_ended_once(slow, JobState::kSucceeded);
  EXPECT_EQ(in_state(JobState::kRunning), 0);
  EXPECT_EQ(in_state(JobState::kQueued), 20);
  EXPECT_EQ(number("SELECT SUM(attempt - attempts_forgiven) FROM job WHERE state = 'queued'"), 0);
  EXPECT_EQ(number("SELECT COUNT(*) FROM job WHERE lapsed_starts > 0"), 0);
}

TEST_F(Jobs, OfADrainedWorkerFinishThereAndNewOnesRunElsewhere) {
  MysqlFleetStore fleet(database_->pool(), *ids_);
  const auto slow = submit(2, fault(RequestFaultKind::kSlow, 1, 3'000));
  const auto drained = start_worker();
  start_loops();
  ASSERT_TRUE(wait_state(slow, JobState::kRunning));
  const auto workers = fleet.list_workers(soon());
  ASSERT_EQ(workers->size(), 1U);
  const std::string id = workers->front().beat.id;
  EXPECT_EQ(workers->front().beat.engine, "echo");
  ASSERT_TRUE(fleet.set_draining(id, true, Actor{TenantId{"ops"}, "night"}, soon()));
  ASSERT_TRUE(eventually([&] { return drained->metric("sluice_worker_draining") == 1; }));
  const auto held_back = submit(5);
  ASSERT_TRUE(wait_state(slow, JobState::kSucceeded));
  // Their messages wait at the broker, untouched.
  ASSERT_TRUE(eventually([&] { return messages(task_queue_name("echo", Priority::kNormal)) >= 5; }));
  EXPECT_EQ(in_state(JobState::kQueued), 5);
  ASSERT_TRUE(eventually([&] { return fleet.list_workers(soon())->front().beat.held_jobs == 0; }));

  auto other = start_worker();
  ASSERT_TRUE(wait_state(held_back, JobState::kSucceeded));
  EXPECT_EQ(drained->metric("sluice_worker_jobs_total{outcome=\"succeeded\"}"), 2);
  other->signal(SIGTERM);
  EXPECT_EQ(other->wait_end(15s), 0);
  EXPECT_EQ(fleet.list_workers(soon())->size(), 1U) << "a worker that stops signs off";

  ASSERT_TRUE(fleet.set_draining(id, false, Actor{TenantId{"ops"}, "night"}, soon()));
  const auto again = submit(3);
  ASSERT_TRUE(wait_state(again, JobState::kSucceeded));
  expect_ended_once(slow, JobState::kSucceeded);
}

TEST_F(Jobs, ThatRunForTooLongAtAStopAreReleasedAndRunElsewhere) {
  const auto ids = submit(2, fault(RequestFaultKind::kSlow, 1, 600'000));
  auto worker = start_worker({{"SLUICE_DRAIN_TIMEOUT", "300ms"}});
  start_loops();
  ASSERT_TRUE(wait_state(ids, JobState::kRunning));
  worker->signal(SIGTERM);
  EXPECT_EQ(worker->wait_end(15s), 0);
  EXPECT_EQ(number("SELECT COUNT(*) FROM job WHERE state = 'queued' AND attempts_forgiven = 1"), 2);
  const auto other = start_worker();
  ASSERT_TRUE(wait_state(ids, JobState::kSucceeded));
  expect_ended_once(ids, JobState::kSucceeded);
}

TEST_F(Jobs, ThatRunForLongHaveTheirMessagesAckedEarlyAndLiveByTheirLease) {
  const auto ids = submit(1, fault(RequestFaultKind::kSlow, std::nullopt, 4'000));
  const auto worker = start_worker({{"SLUICE_ACK_AFTER", "500ms"}});
  start_loops();
  ASSERT_TRUE(wait_state(ids, JobState::kRunning));
  ASSERT_TRUE(eventually([&] { return worker->metric("sluice_worker_early_acks_total") == 1; }));
  EXPECT_EQ(job(ids.front()).state, JobState::kRunning);
  ASSERT_TRUE(wait_state(ids, JobState::kSucceeded));
  expect_ended_once(ids, JobState::kSucceeded);
  EXPECT_EQ(job(ids.front()).attempt, 1);  // Longer than its lease of 2 s: the heartbeats kept it.
}

}  // namespace
}  // namespace sluice::testing
