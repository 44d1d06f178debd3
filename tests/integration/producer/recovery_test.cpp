// What must survive: purged queues, a wiped broker, lost servers, a killed producer.
#include <gmock/gmock.h>

#include <fstream>

#include "tests/integration/producer/process.h"
#include "tests/integration/producer/world.h"

namespace sluice::producer {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ProducerCrash = ProducerProcess;

class ProducerRecovery : public ProducerWorld {};

TEST_F(ProducerRecovery, PurgedQueuesHeal) {
  auto service = make_service();
  ASSERT_EQ(client(*service).post("/v1/jobs", prompts(600)).status, 202);
  ASSERT_EQ(client(*service).post("/v1/jobs", prompts(50, "high")).status, 202);
  EXPECT_TRUE(
      eventually([&] { return ready() == DispatcherConfig{}.depth_min && ready(Priority::kHigh) == 50; }));
  purge_all();
  start_worker();
  expect_all_done(650);
}

TEST_F(ProducerRecovery, ABrokerWithoutQueuesIsSetUpAgain) {
  auto service = make_service();
  ASSERT_EQ(client(*service).post("/v1/jobs", prompts(30)).status, 202);
  EXPECT_TRUE(eventually([&] { return ready() == 30; }));
  for (int p = 0; p < kPriorities; ++p) {
    ASSERT_TRUE(control_->remove(task_queue_name(model_, static_cast<Priority>(p)), soon()).has_value());
  }
  ASSERT_TRUE(control_->remove(kCallbackQueue, soon()).has_value());
  ASSERT_EQ(client(*service).post("/v1/jobs", prompts(10)).status, 202);
  start_worker();
  expect_all_done(40);
  EXPECT_TRUE(eventually([&] {
    const auto depth = control_->depth(kCallbackQueue, soon());
    return depth && depth->ready >= 40;
  }));
}

TEST_F(ProducerRecovery, WithTheBrokerGoneJobsAreStillAccepted) {
  const ProducerConfig direct = config();
  testing::TcpProxy proxy(direct.rabbitmq.host, direct.rabbitmq.port);
  auto service = make_service([&](ProducerConfig& config) { config.rabbitmq.port = proxy.port(); });
  Client http = client(*service);
  EXPECT_TRUE(eventually([&] { return http.get("/ready").json["checks"]["rabbitmq"]["ok"] == true; }));
  proxy.cut();
  EXPECT_TRUE(eventually([&] { return http.get("/ready").json["checks"]["rabbitmq"]["ok"] == false; }));
  EXPECT_EQ(http.get("/ready").status, 200);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(http.post("/v1/jobs", {{"prompt", "x"}}).status, 202);
  EXPECT_EQ(http.post("/v1/jobs", prompts(20)).status, 202);
  start_worker();  // It reaches the broker; only the producer doesn't.
  const std::string id = http.get("/v1/jobs?limit=1").json["data"][0]["id"];
  EXPECT_EQ(http.get("/v1/jobs/" + id + "?wait=0.5").json["status"], "queued");
  proxy.mend();
  EXPECT_EQ(http.get("/v1/jobs/" + id + "?wait=30").json["status"], "succeeded");
  expect_all_done(25);
}

TEST_F(ProducerRecovery, AWaitEndsWithoutAnyEvent) {
  const ProducerConfig direct = config();
  testing::TcpProxy proxy(direct.rabbitmq.host, direct.rabbitmq.port);
  auto service = make_service([&](ProducerConfig& config) {
    config.rabbitmq.port = proxy.port();
    config.redis.port = 1;  // Nothing there.
  });
  Client http = client(*service);
  const std::string id = http.post("/v1/jobs", {{"prompt", "x"}}).json["id"];
  EXPECT_TRUE(eventually([&] { return ready() == 1; }));
  proxy.cut();
  start_worker();
  const Reply reply = http.get("/v1/jobs/" + id + "?wait=30");
  EXPECT_EQ(reply.json["status"], "succeeded") << reply.body;
}

TEST_F(ProducerRecovery, WithTheDatabaseGoneNothingIsHalfDone) {
  const ProducerConfig direct = config();
  testing::TcpProxy proxy(direct.mysql.host, direct.mysql.port);
  auto service = make_service([&](ProducerConfig& config) { config.mysql.port = proxy.port(); });
  Client http = client(*service);
  ASSERT_EQ(http.post("/v1/jobs", {{"prompt", "x"}}).status, 202);
  proxy.cut();
  for (int i = 0; i < 3; ++i) {
    const auto began = std::chrono::steady_clock::now();
    const Reply refused = http.post("/v1/jobs", prompts(10));
    EXPECT_LT(std::chrono::steady_clock::now() - began, seconds(10));
    EXPECT_EQ(refused.status, 503) << refused.body;
    EXPECT_EQ(refused.json["error"]["code"], "database_unavailable");
    EXPECT_LE(std::stoi(refused.headers.at("retry-after")), 59);
  }
  EXPECT_EQ(http.get("/v1/jobs").status, 503);
  EXPECT_EQ(http.get("/ready").status, 503);
  EXPECT_EQ(http.get("/health").status, 200);
  proxy.mend();
  EXPECT_TRUE(eventually([&] { return http.get("/ready").status == 200; }));
  EXPECT_EQ(number("SELECT COUNT(*) FROM job"), 1);
  EXPECT_EQ(http.post("/v1/jobs", prompts(10)).status, 202);
  start_worker();
  expect_all_done(11);
}

TEST_F(ProducerRecovery, ACommitWhoseFateCantBeReadNamesItsIds) {
  const ProducerConfig direct = config();
  testing::TcpProxy proxy(direct.mysql.host, direct.mysql.port);
  auto service = make_service([&](ProducerConfig& config) { config.mysql.port = proxy.port(); });
  Client http = client(*service);
  ASSERT_EQ(http.post("/v1/jobs", {{"prompt", "x"}}).status, 202);
  proxy.swallow_answer("INSERT INTO job_payload", "COMMIT", true);
  const Reply unknown = http.post("/v1/jobs", prompts(3));
  EXPECT_TRUE(proxy.swallowed());
  EXPECT_EQ(unknown.status, 503) << unknown.body;
  EXPECT_EQ(unknown.json["error"]["code"], "outcome_unknown");
  EXPECT_LE(std::stoi(unknown.headers.at("retry-after")), 59);
  ASSERT_EQ(unknown.json["job_ids"].size(), 3U);
  proxy.mend();
  // Here they had been accepted; the ids tell.
  EXPECT_TRUE(eventually(
      [&] { return http.get("/v1/jobs/" + unknown.json["job_ids"][0].get<std::string>()).status == 200; }));
  EXPECT_EQ(http.get("/v1/jobs?batch_id=" + unknown.json["batch_id"].get<std::string>()).json["data"].size(),
            3U);
  start_worker();
  expect_all_done(4);
}

TEST_F(ProducerRecovery, ACommitWhoseAnswerWasLostIsReadBack) {
  const ProducerConfig direct = config();
  testing::TcpProxy proxy(direct.mysql.host, direct.mysql.port);
  auto service = make_service([&](ProducerConfig& config) { config.mysql.port = proxy.port(); });
  Client http = client(*service);
  proxy.swallow_answer("INSERT INTO job_payload", "COMMIT", false);
  const Reply accepted = http.post("/v1/jobs", prompts(3));
  EXPECT_TRUE(proxy.swallowed());
  EXPECT_EQ(accepted.status, 202) << accepted.body;
  start_worker();
  expect_all_done(3);
}

TEST_F(ProducerRecovery, AnotherProducerTakesOver) {
  const auto quick = [](ProducerConfig& config) {
    config.shards.lease = seconds(2);
    config.shards.renew_every = milliseconds(300);
  };
  auto first = make_service(quick);
  EXPECT_TRUE(eventually([&] {
    return client(*first).get("/metrics").body.find("sluice_producer_shards_owned 16") != std::string::npos;
  }));
  auto second = make_service(quick);
  ASSERT_EQ(client(*first).post("/v1/jobs", prompts(700)).status, 202);
  ASSERT_EQ(client(*second).post("/v1/jobs", prompts(700)).status, 202);
  first->stop();
  EXPECT_TRUE(eventually([&] {
    return client(*second).get("/metrics").body.find("sluice_producer_shards_owned 16") != std::string::npos;
  }));
  const std::string id = client(*second).get("/v1/jobs?limit=1").json["data"][0]["id"];
  start_worker();
  EXPECT_EQ(client(*second).get("/v1/jobs/" + id + "?wait=60").json["status"], "succeeded");
  expect_all_done(1400);
}

TEST_F(ProducerRecovery, LapsedLeasesAndOldJobsAreLookedAfter) {
  auto service = make_service();
  Client http = client(*service);
  const std::string lapsed = http.post("/v1/jobs", {{"prompt", "x"}}).json["id"];
  const std::string old = http.post("/v1/jobs", {{"prompt", "x"}, {"expires_in", 1}}).json["id"];
  const std::vector<TaskRef> task = {{JobId{lapsed}, 1, 0}};
  ASSERT_EQ(store_->claim(task, "gone", soon())->size(), 1U);
  database_->execute("UPDATE job SET lease_due = UTC_TIMESTAMP(6) WHERE lease_due IS NOT NULL");
  const Reply expired = http.get("/v1/jobs/" + old + "?wait=30");
  EXPECT_EQ(expired.json["status"], "expired");
  EXPECT_EQ(expired.json["error"]["code"], "job_expired");
  start_worker();
  const Reply rescued = http.get("/v1/jobs/" + lapsed + "?wait=30");
  EXPECT_EQ(rescued.json["status"], "succeeded");
  EXPECT_EQ(rescued.json["attempt"], 2);
}

TEST_F(ProducerCrash, BeforeTheCommitNothingWasPromised) {
  for (const std::string point : {"producer.before_commit", "store.submit_before_commit"}) {
    SCOPED_TRACE(point);
    start_binary(point);
    EXPECT_EQ(binary_client().post("/v1/jobs", {{"prompt", "x"}}).status, 0);
    EXPECT_EQ(wait_death(), SIGKILL);
    EXPECT_EQ(number("SELECT COUNT(*) FROM job"), 0);
  }
}

TEST_F(ProducerCrash, ADeletionThatWasCutOffLeavesTheResponseAsItWas) {
  start_binary("store.erase_before_commit");
  const Reply made = binary_client().post("/v1/responses", {{"input", "x"}, {"background", true}});
  ASSERT_EQ(made.status, 200) << made.body;
  const std::string path = "/v1/responses/" + std::string(made.json["id"]);
  EXPECT_EQ(binary_client().remove(path).status, 0);
  EXPECT_EQ(wait_death(), SIGKILL);
  EXPECT_EQ(in_state("queued"), 1);
  start_binary("");
  EXPECT_EQ(binary_client().get(path).json["status"], "queued");
  EXPECT_EQ(binary_client().remove(path).status, 200);
  EXPECT_EQ(binary_client().get(path).status, 404);
  stop_binary();
}

TEST_F(ProducerCrash, AfterTheCommitTheJobRunsThoughNobodyHeardOfIt) {
  start_binary("producer.after_commit");
  EXPECT_EQ(binary_client().post("/v1/jobs", {{"prompt", "x"}}).status, 0);
  EXPECT_EQ(wait_death(), SIGKILL);
  EXPECT_EQ(number("SELECT COUNT(*) FROM job"), 1);
  start_binary("");
  start_worker();
  expect_all_done(1);
  stop_binary();
}

TEST_F(ProducerCrash, AtAnyPointOfTheDispatchEveryJobStillRuns) {
  for (const std::string point : {"dispatcher.before_fresh_publish", "dispatcher.after_fresh_publish"}) {
    SCOPED_TRACE(point);
    database_->clear_jobs();
    purge_all();
    start_binary(point);
    wait_until_fresh_path();
    const int status = binary_client().post("/v1/jobs", {{"prompt", "x"}}).status;
    EXPECT_TRUE(status == 202 || status == 0) << status;
    EXPECT_EQ(wait_death(), SIGKILL);
    EXPECT_EQ(number("SELECT COUNT(*) FROM job"), 1);
    start_binary("");
    start_worker();
    expect_all_done(1);
    stop_worker();
    stop_binary();
  }
}

TEST_F(ProducerCrash, BetweenPublishAndMarkAMessageIsDoubledAndNoJob) {
  start_binary("dispatcher.after_publish");
  wait_until_fresh_path();
  // More than the queue takes at first: the rest goes by the scan, once a worker has made room.
  EXPECT_EQ(binary_client().post("/v1/jobs", prompts(600)).status, 202);
  start_worker();
  EXPECT_EQ(wait_death(), SIGKILL);
  start_binary("");
  expect_all_done(600);
  stop_binary();
}

TEST_F(ProducerCrash, BetweenPublishAndMarkAnEventIsDoubled) {
  start_binary("relay.after_publish");
  start_worker();
  const Reply accepted = binary_client().post("/v1/jobs", {{"prompt", "x"}});
  EXPECT_EQ(accepted.status, 202);
  EXPECT_EQ(wait_death(), SIGKILL);
  expect_all_done(1);
  EXPECT_EQ(number("SELECT COUNT(*) FROM event WHERE publishes = 0"), 1);
  start_binary("");
  EXPECT_TRUE(eventually([&] { return number("SELECT COUNT(*) FROM event WHERE publishes > 0") == 1; }));
  EXPECT_TRUE(eventually([&] { return control_->depth(kCallbackQueue, soon())->ready >= 2; }));
  stop_binary();
}

TEST_F(ProducerCrash, AcceptedJobsSurviveKillMinusNine) {
  start_binary("");
  std::vector<std::string> ids;
  {
    Client http = binary_client();
    for (int i = 0; i < 50; ++i) ids.push_back(http.post("/v1/jobs", {{"prompt", "x"}}).json["id"]);
  }
  kill(pid_, SIGKILL);
  EXPECT_EQ(wait_death(), SIGKILL);
  start_binary("");
  start_worker();
  expect_all_done(50);
  for (const std::string& id : ids) {
    EXPECT_EQ(binary_client().get("/v1/jobs/" + id).json["status"], "succeeded");
  }
  stop_binary();
}

TEST_F(ProducerCrash, BadSettingsAreAllReportedAndEndWithTwo) {
  const std::string command =
      std::string("env -i ") + SLUICE_BINARY_DIR +
      "/sluice-producer --http-port 70000 --dispatch-depth 0 --nonsense 1 > /dev/null 2> " +
      ::testing::TempDir() + "faults.txt";
  const int code = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(code), 2);
  std::ifstream in(::testing::TempDir() + "faults.txt");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  EXPECT_THAT(text, HasSubstr("http-port"));
  EXPECT_THAT(text, HasSubstr("dispatch-depth"));
  EXPECT_THAT(text, HasSubstr("nonsense"));
}

}  // namespace
}  // namespace sluice::producer
