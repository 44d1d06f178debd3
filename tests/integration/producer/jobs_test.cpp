// The routes of the producer on real servers.
#include <gmock/gmock.h>

#include <set>

#include "tests/integration/producer/world.h"

namespace sluice::producer {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class ProducerJobs : public ProducerWorld {};

TEST_F(ProducerJobs, OneGoesAllTheWay) {
  auto service = make_service();
  start_worker();
  Client http = client(*service);
  const Reply accepted = http.post("/v1/jobs", {{"prompt", "2+2="}, {"metadata", {{"k", "v"}}}});
  ASSERT_EQ(accepted.status, 202) << accepted.body;
  const std::string id = accepted.json["id"];
  EXPECT_EQ(accepted.headers.at("location"), "/v1/jobs/" + id);
  EXPECT_EQ(accepted.json["status"], "queued");
  EXPECT_EQ(accepted.json["model"], model_);
  const auto began = std::chrono::steady_clock::now();
  const Reply done = http.get("/v1/jobs/" + id + "?wait=30");
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(10));
  ASSERT_EQ(done.status, 200);
  EXPECT_EQ(done.json["status"], "succeeded") << done.body;
  EXPECT_EQ(done.json["result"]["text"], "done");
  EXPECT_EQ(done.json["metadata"]["k"], "v");
  EXPECT_TRUE(eventually([&] { return control_->depth(kCallbackQueue, soon())->ready == 1; }));
}

TEST_F(ProducerJobs, ABatchOfTenThousandIsAcceptedWholeAndListed) {
  auto service = make_service();
  Client http = client(*service);
  const Reply accepted = http.post("/v1/jobs", prompts(10'000));
  ASSERT_EQ(accepted.status, 202) << accepted.body.substr(0, 500);
  ASSERT_EQ(accepted.json["data"].size(), 10'000U);
  const std::string batch = accepted.json["batch_id"];
  EXPECT_EQ(accepted.headers.at("location"), "/v1/jobs?batch_id=" + batch);
  EXPECT_EQ(in_state("queued"), 10'000);

  std::set<std::string> seen;
  std::string after;
  for (int page = 0; page < 3; ++page) {
    const Reply list =
        http.get("/v1/jobs?limit=100&batch_id=" + batch + (after.empty() ? "" : "&after=" + after));
    ASSERT_EQ(list.status, 200);
    EXPECT_EQ(list.json["has_more"], true);
    for (const json& job : list.json["data"]) seen.insert(job["id"]);
    after = list.json["last_id"];
  }
  EXPECT_EQ(seen.size(), 300U);
  EXPECT_EQ(*seen.rbegin(), accepted.json["data"].back()["id"]);  // Newest first.
  // Only a few batches' worth is at the broker; the rest waits in the database.
  EXPECT_TRUE(eventually([&] { return ready() == DispatcherConfig{}.depth_min; }));
}

TEST_F(ProducerJobs, TooMuchIs413AndLeavesNothingBehind) {
  auto service = make_service();
  Client http = client(*service);
  EXPECT_EQ(http.post("/v1/jobs", prompts(10'001)).status, 413);
  const Reply body =
      client(*service).post("/v1/jobs", "{\"prompt\":\"" + std::string(10'000'000, 'x') + "\"}");
  EXPECT_EQ(body.status, 413);
  EXPECT_EQ(number("SELECT COUNT(*) FROM job"), 0);
}

TEST_F(ProducerJobs, OneBadItemRefusesTheBatch) {
  auto service = make_service();
  Client http = client(*service);
  json body = prompts(100);
  body["requests"][7]["parameters"] = {{"temperature", 3}};
  body["requests"][8]["surprise"] = true;
  const Reply refused = http.post("/v1/jobs", body);
  EXPECT_EQ(refused.status, 400);
  ASSERT_EQ(refused.json["errors"].size(), 2U) << refused.body;
  EXPECT_EQ(refused.json["errors"][0]["index"], 7);
  EXPECT_EQ(refused.json["errors"][0]["field"], "parameters.temperature");
  EXPECT_EQ(refused.json["errors"][1]["field"], "surprise");
  EXPECT_EQ(number("SELECT COUNT(*) FROM job"), 0);
}

TEST_F(ProducerJobs, OthersJobsLookLikeNone) {
  auto service = make_service();
  const std::string id = client(*service).post("/v1/jobs", {{"prompt", "x"}}).json["id"];
  Client other = client(*service, kOtherKey);
  const Reply foreign = other.get("/v1/jobs/" + id);
  const Reply unknown = other.get("/v1/jobs/job_018f4e1c-7a2b-7abc-8def-0123456789a5");
  const Reply nonsense = other.get("/v1/jobs/nonsense");
  EXPECT_EQ(foreign.status, 404);
  EXPECT_EQ(foreign.body, unknown.body);
  EXPECT_EQ(foreign.body, nonsense.body);
  EXPECT_EQ(other.get("/v1/jobs/" + id + "?wait=1").body, foreign.body);
  EXPECT_EQ(other.post("/v1/jobs/" + id + "/cancel", std::string()).body, foreign.body);
  EXPECT_TRUE(other.get("/v1/jobs").json["data"].empty());
}

TEST_F(ProducerJobs, KeysAndScopesAreAskedForBeforeTheBody) {
  auto service = make_service();
  Client nobody = client(*service, "");
  const Reply missing = nobody.post("/v1/jobs", std::string("not even json"));
  EXPECT_EQ(missing.status, 401);
  EXPECT_THAT(missing.headers.at("www-authenticate"), HasSubstr("Bearer"));
  EXPECT_EQ(client(*service, "wrong").get("/v1/jobs").status, 401);
  EXPECT_EQ(client(*service, kReadKey).post("/v1/jobs", std::string("not even json")).status, 403);
  EXPECT_EQ(client(*service, kReadKey).get("/v1/jobs").status, 200);
}

TEST_F(ProducerJobs, CancelEndsTheWaitOfAnother) {
  auto service = make_service();
  Client http = client(*service);
  const std::string id = http.post("/v1/jobs", {{"prompt", "x"}}).json["id"];
  Reply waited;
  std::thread waiter([&] { waited = client(*service).get("/v1/jobs/" + id, {"Prefer: wait=30"}); });
  EXPECT_TRUE(eventually(
      [&] { return http.get("/metrics").body.find("sluice_producer_waiters 1") != std::string::npos; }));
  const Reply cancelled = http.post("/v1/jobs/" + id + "/cancel", json::object());
  EXPECT_EQ(cancelled.status, 200);
  EXPECT_EQ(cancelled.json["status"], "cancelled");
  waiter.join();
  EXPECT_EQ(waited.json["status"], "cancelled") << waited.body;
  // A final job is answered as it is.
  EXPECT_EQ(http.post("/v1/jobs/" + id + "/cancel", std::string()).json["status"], "cancelled");
}

TEST_F(ProducerJobs, AWaitThatEndsAnswersWithTheJobAsItIs) {
  auto service = make_service();
  Client http = client(*service);
  const std::string id = http.post("/v1/jobs", {{"prompt", "x"}}).json["id"];
  const auto began = std::chrono::steady_clock::now();
  const Reply reply = http.get("/v1/jobs/" + id + "?wait=0.5");
  const auto took = std::chrono::steady_clock::now() - began;
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.json["status"], "queued");
  EXPECT_GE(took, std::chrono::milliseconds(450));
  EXPECT_LT(took, std::chrono::seconds(5));
}

TEST_F(ProducerJobs, QueryFaultsAreNamed) {
  auto service = make_service();
  Client http = client(*service);
  const std::string id = http.post("/v1/jobs", {{"prompt", "x"}}).json["id"];
  for (const std::string path : {"/v1/jobs?limit=0", "/v1/jobs?limit=x", "/v1/jobs?status=done",
                                 "/v1/jobs?after=7", "/v1/jobs?batch_id=7", "/v1/jobs?nope=1"}) {
    const Reply reply = http.get(path);
    EXPECT_EQ(reply.status, 400) << path;
    const std::size_t begin = path.find('?') + 1;
    EXPECT_EQ(reply.json["error"]["param"], path.substr(begin, path.find('=') - begin)) << path;
  }
  EXPECT_EQ(http.get("/v1/jobs/" + id + "?wait=61").json["error"]["param"], "wait");
  EXPECT_EQ(http.get("/v1/models").json["data"][0]["id"], model_);
  EXPECT_EQ(http.get("/v1/models/" + model_).status, 200);
  EXPECT_EQ(http.get("/v1/models/other").status, 404);
}

TEST_F(ProducerJobs, FiltersApply) {
  auto service = make_service();
  Client http = client(*service);
  const std::string first = http.post("/v1/jobs", {{"prompt", "x"}}).json["id"];
  const std::string second = http.post("/v1/jobs", {{"prompt", "y"}}).json["id"];
  http.post("/v1/jobs/" + first + "/cancel", std::string());
  const Reply cancelled = http.get("/v1/jobs?status=cancelled");
  ASSERT_EQ(cancelled.json["data"].size(), 1U);
  EXPECT_EQ(cancelled.json["data"][0]["id"], first);
  EXPECT_EQ(http.get("/v1/jobs?status=queued&model=" + model_).json["data"][0]["id"], second);
  EXPECT_TRUE(http.get("/v1/jobs?model=other").json["data"].empty());
  const Reply page = http.get("/v1/jobs?limit=1");
  EXPECT_EQ(page.json["data"][0]["id"], second);
  EXPECT_EQ(page.json["has_more"], true);
  const Reply next = http.get("/v1/jobs?limit=1&after=" + second);
  EXPECT_EQ(next.json["data"][0]["id"], first);
  EXPECT_EQ(next.json["has_more"], false);
}

TEST_F(ProducerJobs, AFullQueueIsTyped) {
  auto service = make_service([](ProducerConfig& config) { config.admission.queued_max = 5; });
  Client http = client(*service);
  EXPECT_EQ(http.post("/v1/jobs", prompts(5)).status, 202);
  const Reply full = http.post("/v1/jobs", {{"prompt", "x"}});
  EXPECT_EQ(full.status, 503);
  EXPECT_EQ(full.json["error"]["code"], "queue_full");
  EXPECT_LE(std::stoi(full.headers.at("retry-after")), 59);
  EXPECT_EQ(http.post("/v1/jobs", {{"prompt", "x"}, {"priority", "high"}}).status, 202);
}

TEST_F(ProducerJobs, FinishedJobsComeFromRedisAndBrokenCopiesDont) {
  auto service = make_service();
  start_worker();
  Client http = client(*service);
  const std::string id = http.post("/v1/jobs", {{"prompt", "x"}}).json["id"];
  ASSERT_EQ(http.get("/v1/jobs/" + id + "?wait=30").json["status"], "succeeded");
  RedisPool redis(config().redis, clock_, rng_, Log("test", LogLevel::kError, clock_));
  const std::string key = "sluice:job:" + id;
  const auto put = [&](const std::string& text) {
    ASSERT_TRUE(redis.command({"SET", key, text}, soon()).has_value());
  };
  Job copy = *store_->get({}, JobId{id}, soon());
  copy.result->text = "from redis";
  put(job_to_cache(copy));
  EXPECT_EQ(http.get("/v1/jobs/" + id).json["result"]["text"], "from redis");
  EXPECT_EQ(client(*service, kOtherKey).get("/v1/jobs/" + id).status, 404);

  for (const std::string& broken : {std::string("{"), std::string("\xff\x00", 2), std::string("null")}) {
    put(broken);
    EXPECT_EQ(http.get("/v1/jobs/" + id).json["result"]["text"], "done");
  }
  Job running = *store_->get({}, JobId{id}, soon());
  running.state = JobState::kRunning;
  put(job_to_cache(running));
  EXPECT_EQ(http.get("/v1/jobs/" + id).json["status"], "succeeded");
  Job another = copy;
  another.id = ids_->make<JobId>(0);
  put(job_to_cache(another));
  EXPECT_EQ(http.get("/v1/jobs/" + id).json["id"], id);
  ASSERT_TRUE(redis.command({"DEL", key}, soon()).has_value());
}

TEST_F(ProducerJobs, StoppingAnswersWhoeverWaits) {
  auto service = make_service();
  Client http = client(*service);
  const std::string id = http.post("/v1/jobs", {{"prompt", "x"}}).json["id"];
  Reply waited;
  std::thread waiter([&] { waited = client(*service).get("/v1/jobs/" + id + "?wait=60"); });
  EXPECT_TRUE(eventually(
      [&] { return http.get("/metrics").body.find("sluice_producer_waiters 1") != std::string::npos; }));
  const auto began = std::chrono::steady_clock::now();
  service->stop();
  waiter.join();
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(15));
  EXPECT_EQ(waited.status, 200);
  EXPECT_EQ(waited.json["status"], "queued");
}

TEST_F(ProducerJobs, ManyClientsShareTransactions) {
  auto service = make_service();
  constexpr int kClients = 16;
  constexpr int kEach = 50;
  std::vector<std::thread> threads;
  std::atomic<int> accepted{0};
  for (int c = 0; c < kClients; ++c) {
    threads.emplace_back([&] {
      Client http = client(*service);
      for (int i = 0; i < kEach; ++i)
        accepted += http.post("/v1/jobs", {{"prompt", "x"}}).status == 202 ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(accepted, kClients * kEach);
  EXPECT_EQ(in_state("queued"), kClients * kEach);
  const std::string text = client(*service).get("/metrics").body;
  const std::size_t at = text.find("sluice_producer_submit_commit_jobs_count ");
  ASSERT_NE(at, std::string::npos);
  EXPECT_LT(std::stoi(text.substr(at + 41)), kClients * kEach);
  start_worker();
  EXPECT_TRUE(eventually([&] { return in_state("succeeded") == kClients * kEach; }));
}

}  // namespace
}  // namespace sluice::producer
