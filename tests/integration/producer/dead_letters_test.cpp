// Dead letters through the real routes: redriven jobs run again, once each, whatever Redis remembers and
// wherever the producer dies.
#include <gmock/gmock.h>

#include "common/rabbitmq/topology.h"
#include "tests/integration/producer/process.h"
#include "tests/integration/producer/world.h"

namespace sluice::producer {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Accepts jobs and lets them fail at their first start.
std::vector<JobId> fail_jobs(JobStore& store, IdMaker& ids, const std::string& model, int count,
                             Deadline deadline) {
  std::vector<Submission> submissions(1);
  for (int i = 0; i < count; ++i) {
    NewJob& fresh = submissions[0].jobs.emplace_back();
    fresh.job.tenant = TenantId{"one"};
    fresh.job.id = ids.make<JobId>(shard_of_tenant(fresh.job.tenant));
    fresh.job.model = model;
    fresh.request_json = R"({"prompt":"x","raw":false,"parameters":{"max_tokens":5}})";
  }
  EXPECT_TRUE(store.submit(submissions, deadline)[0].has_value());
  std::vector<TaskRef> tasks;
  std::vector<JobId> made;
  for (const NewJob& fresh : submissions[0].jobs) {
    tasks.push_back({fresh.job.id, 1, 0});
    made.push_back(fresh.job.id);
  }
  const auto claimed = store.claim(tasks, "w", deadline);
  EXPECT_EQ(claimed->size(), tasks.size());
  std::vector<Ending> endings;
  for (const ClaimedJob& job : *claimed) {
    endings.push_back(
        {job.ref, "w", Failed{JobError{"invalid_request", "no", "invalid_request_error", ""}, true}});
  }
  EXPECT_TRUE(store.finish(endings, deadline).has_value());
  return made;
}

class DeadLetters : public ProducerWorld {
 protected:
  std::vector<JobId> fail_some(int count) { return fail_jobs(*store_, *ids_, model_, count, soon()); }
  // What a worker does after its commit.
  void remember_in_redis(const Job& job) {
    SystemRng rng;
    RedisPool redis(config().redis, clock_, rng, Log("test", LogLevel::kError, clock_));
    ASSERT_TRUE(redis.command({"SET", "sluice:job:" + job.id.value, job_to_cache(job), "EX", "3600"}, soon())
                    .has_value());
  }
};

TEST_F(DeadLetters, ARedrivenJobRunsToItsEndWhateverRedisRemembers) {
  const JobId id = fail_some(1)[0];
  const Job ended = store_->get(TenantId{}, id, soon()).value();
  remember_in_redis(ended);
  auto service = make_service();
  Client tenant = client(*service);
  EXPECT_EQ(tenant.get("/v1/jobs/" + id.value).json["status"], "failed");

  Client admin = client(*service, kAdminKey);
  const Reply started = admin.post("/v1/admin/dead_letters/redrive", {{"ids", {id.value}}});
  ASSERT_EQ(started.status, 202) << started.body;
  EXPECT_TRUE(eventually([&] {
    return number(
               "SELECT COUNT(*) FROM dead_letter WHERE copy_due IS NULL AND state = "
               "'redriven'") == 1;
  }));
  EXPECT_EQ(tenant.get("/v1/jobs/" + id.value).json["status"], "queued");
  // A worker that was slow writes its copy of the earlier end only now.
  remember_in_redis(ended);
  EXPECT_EQ(tenant.get("/v1/jobs/" + id.value).json["status"], "queued");

  start_worker();
  const Reply done = tenant.get("/v1/jobs/" + id.value + "?wait=30");
  EXPECT_EQ(done.json["status"], "succeeded") << done.body;
  EXPECT_EQ(done.json["generation"], 2);
  EXPECT_EQ(done.json["attempt"], 1);
  Job again = store_->get(TenantId{}, id, soon()).value();
  remember_in_redis(again);
  EXPECT_EQ(tenant.get("/v1/jobs/" + id.value).json["status"], "succeeded")
      << "the copy of its last end counts";
  EXPECT_EQ(number("SELECT COUNT(*) FROM event"), 2);
  const std::string operation = started.json["id"];
  EXPECT_TRUE(
      eventually([&] { return admin.get("/v1/admin/operations/" + operation).json["status"] == "done"; }));
  EXPECT_EQ(admin.get("/v1/admin/operations/" + operation).json["outcome"]["succeeded"], 1);
  EXPECT_EQ(admin.get("/v1/admin/audit").json["data"].size(), 2U);
}

TEST_F(DeadLetters, OnlyAnOperatorsKeyOpensTheAdminRoutes) {
  auto service = make_service();
  EXPECT_EQ(client(*service).get("/v1/admin/dead_letters").status, 403);
  EXPECT_EQ(client(*service, "nobody's key").get("/v1/admin/dead_letters").status, 401);
  EXPECT_EQ(client(*service, kAdminKey).get("/v1/admin/dead_letters").status, 200);
  EXPECT_EQ(client(*service, kAdminKey).get("/v1/jobs").status, 403) << "it has no other scope";
}

TEST_F(DeadLetters, AReplayedRequestRunsAsAJobOfItsTenant) {
  const JobId id = fail_some(1)[0];
  auto service = make_service();
  start_worker();
  const Reply made =
      client(*service, kAdminKey)
          .post("/v1/admin/dead_letters/" + id.value + "/replay", {{"changes", {{"prompt", "better"}}}});
  ASSERT_EQ(made.status, 202) << made.body;
  const std::string copy = made.json["id"];
  EXPECT_EQ(client(*service).get("/v1/jobs/" + copy + "?wait=30").json["status"], "succeeded");
  EXPECT_EQ(client(*service, kOtherKey).get("/v1/jobs/" + copy).status, 404);
  EXPECT_EQ(client(*service).get("/v1/jobs/" + id.value).json["status"], "failed");
}

TEST_F(DeadLetters, WhileTheDatabaseSaysSoRedrivesGoOnAfterARestart) {
  fail_some(40);
  std::string operation;
  {
    auto service = make_service();
    const Reply started =
        client(*service, kAdminKey).post("/v1/admin/dead_letters/redrive", {{"all", true}, {"rate", 20}});
    ASSERT_EQ(started.status, 202) << started.body;
    operation = started.json["id"];
    EXPECT_TRUE(eventually([&] { return number("SELECT handled FROM operation") > 0; }));
    service->stop();
  }
  auto service = make_service();
  start_worker();
  EXPECT_TRUE(eventually([&] { return in_state("succeeded") == 40; }, seconds(60)));
  EXPECT_TRUE(eventually([&] {
    return client(*service, kAdminKey).get("/v1/admin/operations/" + operation).json["status"] == "done";
  }));
  EXPECT_EQ(number("SELECT COUNT(*) FROM job WHERE generation = 2"), 40);
}

TEST_F(DeadLetters, TheBrokersQueueShowsWhatIsUnhandledAndIsFilledAgain) {
  auto service = make_service([](ProducerConfig& config) {
    config.dead_mirror.look_every = milliseconds(50);
    config.dead_mirror.compact_every = milliseconds(100);
    config.dead_mirror.check_every = milliseconds(200);
  });
  const auto shown = [this] {
    const auto depth = control_->depth(kDeadQueue, soon());
    return depth ? static_cast<int>(depth->ready) : -1;
  };
  ASSERT_TRUE(control_->purge(kDeadQueue, soon()).has_value());  // Left by other tests.
  const auto ids = fail_some(5);
  EXPECT_TRUE(eventually([&] { return shown() == 5; }));
  Client admin = client(*service, kAdminKey);
  ASSERT_EQ(admin.post("/v1/admin/dead_letters/redrive", {{"ids", {ids[1].value}}}).status, 202);
  EXPECT_TRUE(eventually([&] { return shown() == 4; })) << shown();
  ASSERT_TRUE(control_->purge(kDeadQueue, soon()).has_value());
  EXPECT_TRUE(eventually([&] { return shown() == 4; })) << shown();
  ASSERT_EQ(admin.post("/v1/admin/dead_letters/discard", {{"all", true}}).status, 202);
  EXPECT_TRUE(eventually([&] { return shown() == 0; })) << shown();
  EXPECT_TRUE(
      eventually([&] { return number("SELECT COUNT(*) FROM dead_letter WHERE mirrored <> 'no'") == 0; }));
}

class DeadLettersCrash : public ProducerProcess {};

TEST_F(DeadLettersCrash, WhereverTheMirrorDiesItsQueueComesOutRight) {
  const std::vector<std::pair<std::string, std::string>> often = {{"DEAD_MIRROR_COMPACT_EVERY", "100ms"}};
  const auto shown = [this] {
    const auto depth = control_->depth(kDeadQueue, soon());
    return depth ? static_cast<int>(depth->ready) : -1;
  };
  const auto discard = [this](const JobId& id) {
    Client("http://127.0.0.1:" + std::to_string(port()), kAdminKey)
        .post("/v1/admin/dead_letters/discard", {{"ids", {id.value}}});
  };
  for (const std::string point : {"mirror.after_publish", "mirror.before_ack", "mirror.in_pass"}) {
    SCOPED_TRACE(point);
    database_->clear_jobs();
    start_binary(point, often);
    ASSERT_TRUE(control_->purge(kDeadQueue, soon()).has_value());
    const auto ids = fail_jobs(*store_, *ids_, model_, 10, soon());
    if (point != "mirror.after_publish") {
      EXPECT_TRUE(eventually([&] { return shown() == 10; })) << shown();
      discard(ids[3]);
    }
    EXPECT_EQ(wait_death(), SIGKILL);
    start_binary("", often);
    discard(ids[4]);
    const int left = point == "mirror.after_publish" ? 9 : 8;
    const auto stale = [this] {
      return number("SELECT COUNT(*) FROM dead_letter WHERE mirrored <> 'no' AND state <> 'dead'");
    };
    EXPECT_TRUE(eventually([&] { return shown() == left && stale() == 0; }, seconds(40))) << shown();
    stop_binary();
  }
}

TEST_F(DeadLettersCrash, WhereverARedriveDiesEachLetterIsMovedOnceAndCounted) {
  const std::vector<std::pair<std::string, std::string>> small_steps = {{"OPERATION_STEP_MAX", "7"}};
  for (const std::string point : {"store.operation_before_commit", "store.operation_before_commit:3",
                                  "operations.after_step:2", "operations.after_outdate:3"}) {
    SCOPED_TRACE(point);
    database_->clear_jobs();
    purge_all();
    fail_jobs(*store_, *ids_, model_, 30, soon());
    start_binary(point, small_steps);
    const std::string address = "http://127.0.0.1:" + std::to_string(port());
    const int status =
        Client(address, kAdminKey).post("/v1/admin/dead_letters/redrive", {{"all", true}}).status;
    EXPECT_TRUE(status == 202 || status == 0) << status;
    EXPECT_EQ(wait_death(), SIGKILL);
    EXPECT_LT(number("SELECT handled FROM operation"), 30) << "it died too late to show anything";
    start_binary("", small_steps);
    start_worker();
    EXPECT_TRUE(eventually([&] { return in_state("succeeded") == 30; }, seconds(60)));
    EXPECT_TRUE(
        eventually([&] { return number("SELECT COUNT(*) FROM operation WHERE state = 'done'") == 1; }));
    EXPECT_TRUE(eventually(
        [&] { return number("SELECT COUNT(*) FROM dead_letter WHERE copy_due IS NOT NULL") == 0; }));
    EXPECT_EQ(number("SELECT handled FROM operation"), 30);
    EXPECT_EQ(number("SELECT COUNT(*) FROM job WHERE generation = 2"), 30);
    EXPECT_EQ(number("SELECT COUNT(*) FROM event"), 60);
    stop_worker();
    stop_binary();
  }
}

TEST_F(DeadLettersCrash, AReplayThatDiesBeforeItsCommitLeavesNothing) {
  const JobId id = fail_jobs(*store_, *ids_, model_, 1, soon())[0];
  start_binary("store.replay_before_commit");
  const std::string address = "http://127.0.0.1:" + std::to_string(port());
  Client(address, kAdminKey)
      .post("/v1/admin/dead_letters/" + id.value + "/replay", {{"changes", {{"prompt", "better"}}}});
  EXPECT_EQ(wait_death(), SIGKILL);
  EXPECT_EQ(number("SELECT COUNT(*) FROM job"), 1);
  EXPECT_EQ(number("SELECT COUNT(*) FROM dead_letter WHERE state = 'dead'"), 1);
  EXPECT_EQ(number("SELECT COUNT(*) FROM audit"), 0);
}

}  // namespace
}  // namespace sluice::producer
