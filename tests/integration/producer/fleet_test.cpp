// Pauses, workers and keys through the real routes, on real servers.
#include <gmock/gmock.h>

#include "common/store/mysql_fleet_store.h"
#include "tests/integration/producer/world.h"

namespace sluice::producer {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

class Fleet : public ProducerWorld {
 protected:
  std::string submit(Client& tenant) {
    const Reply made = tenant.post("/v1/jobs", {{"prompt", "x"}, {"model", model_}});
    EXPECT_EQ(made.status, 202) << made.body;
    return made.json.value("id", "");
  }
  static std::string status(Client& tenant, const std::string& id, int wait_s = 0) {
    return tenant.get("/v1/jobs/" + id + "?wait=" + std::to_string(wait_s)).json.value("status", "");
  }
};

TEST_F(Fleet, NothingOfAPausedModelStartsUntilItIsResumed) {
  auto service = make_service();
  Client admin = client(*service, kAdminKey);
  Client tenant = client(*service);
  const json model = {{"kind", "model"}, {"name", model_}};
  json asked = model;
  asked["reason"] = "a new file is coming";
  const Reply paused = admin.post("/v1/admin/pauses", asked);
  ASSERT_EQ(paused.status, 200) << paused.body;
  EXPECT_EQ(paused.json["reason"], "a new file is coming");
  start_worker();
  const std::string id = submit(tenant);
  // Whether its message was sent or not: a claim that is asked for by hand gets nothing.
  const TaskRef task{JobId{id}, 1, 0};
  EXPECT_EQ(store_->claim(std::span(&task, 1), "w", soon())->size(), 0U);
  EXPECT_EQ(status(tenant, id), "queued");
  EXPECT_EQ(admin.get("/v1/admin/status").json["pauses"].size(), 1U);
  const json queues = admin.get("/v1/admin/queues").json["data"];
  EXPECT_EQ(
      std::count_if(queues.begin(), queues.end(),
                    [&](const json& queue) { return queue["model"] == model_ && queue["paused"] == true; }),
      3);

  EXPECT_EQ(admin.post("/v1/admin/pauses/end", model).status, 200);
  EXPECT_EQ(status(tenant, id, 30), "succeeded");
  EXPECT_EQ(number("SELECT COUNT(*) FROM job WHERE attempt = 1"), 1);
  const Reply again = admin.post("/v1/admin/pauses/end", model);
  EXPECT_EQ(again.status, 404);
  EXPECT_EQ(again.json["error"]["code"], "not_paused");
  const json audit = admin.get("/v1/admin/audit?action=pauses.").json["data"];
  ASSERT_EQ(audit.size(), 2U);
  EXPECT_EQ(audit[1]["target"], "model " + model_);
  EXPECT_EQ(audit[1]["filter"]["reason"], "a new file is coming");
}

TEST_F(Fleet, APausedTenantHoldsNobodyElseUp) {
  auto service = make_service();
  Client admin = client(*service, kAdminKey);
  Client one = client(*service);
  Client two = client(*service, kOtherKey);
  ASSERT_EQ(admin.post("/v1/admin/pauses", {{"kind", "tenant"}, {"name", "one"}}).status, 200);
  start_worker();
  const std::string held = submit(one);
  EXPECT_EQ(status(two, submit(two), 30), "succeeded");
  EXPECT_EQ(status(one, held), "queued");
  ASSERT_EQ(admin.post("/v1/admin/pauses/end", {{"kind", "tenant"}, {"name", "one"}}).status, 200);
  EXPECT_EQ(status(one, held, 30), "succeeded");
}

TEST_F(Fleet, AMadeKeyWorksUntilItIsRevokedAndIsShownOnce) {
  auto service = make_service(
      [](ProducerConfig& config) { config.authenticator.remember = std::chrono::milliseconds(50); });
  Client admin = client(*service, kAdminKey);
  const Reply made = admin.post("/v1/admin/keys", {{"tenant", "one"}, {"name", "ci"}, {"scopes", {"read"}}});
  ASSERT_EQ(made.status, 201) << made.body;
  const std::string key = made.json["key"];
  EXPECT_EQ(client(*service, key).get("/v1/jobs").status, 200);
  EXPECT_EQ(client(*service, key).post("/v1/jobs", json{{"prompt", "x"}}).status, 403);
  const Reply list = admin.get("/v1/admin/keys?tenant=one");
  EXPECT_THAT(list.body, HasSubstr(made.json["id"].get<std::string>()));
  EXPECT_THAT(list.body, Not(HasSubstr(key)));
  const Reply audit = admin.get("/v1/admin/audit?action=keys.create");
  EXPECT_THAT(audit.body, Not(HasSubstr(key)));
  EXPECT_EQ(audit.json["data"][0]["filter"]["name"], "ci");

  const std::string path = "/v1/admin/keys/" + made.json["id"].get<std::string>() + "/revoke";
  EXPECT_EQ(admin.post(path, json::object()).status, 200);
  EXPECT_TRUE(eventually([&] { return client(*service, key).get("/v1/jobs").status == 401; }));
  EXPECT_EQ(admin.post("/v1/admin/keys/key_0123456789abcdef/revoke", json::object()).status, 404);
  EXPECT_EQ(admin.post("/v1/admin/keys", {{"tenant", "nobody"}, {"name", "x"}}).json["error"]["code"],
            "tenant_not_found");
}

TEST_F(Fleet, AWorkerIsSeenAndToldToDrain) {
  MysqlFleetStore fleet(database_->pool(), *ids_);
  const WorkerBeat beat{"w-1", model_, "echo", "1.0", 32, 2};
  ASSERT_FALSE(*fleet.beat(beat, soon()));
  auto service = make_service();
  Client admin = client(*service, kAdminKey);
  EXPECT_EQ(admin.get("/v1/admin/workers").json["data"][0]["state"], "working");
  const Reply told = admin.post("/v1/admin/workers/w-1/drain", json::object());
  ASSERT_EQ(told.status, 200) << told.body;
  EXPECT_EQ(told.json["state"], "draining");
  EXPECT_TRUE(*fleet.beat({"w-1", model_, "echo", "1.0", 32, 0}, soon()));
  EXPECT_EQ(admin.get("/v1/admin/workers").json["data"][0]["state"], "drained");
  EXPECT_EQ(admin.post("/v1/admin/workers/w-1/undrain", json::object()).json["state"], "working");
  for (const char* unknown : {"w-2", "%C3%BC", "%ff"}) {
    const Reply missing = admin.post(std::string("/v1/admin/workers/") + unknown + "/drain", json::object());
    EXPECT_EQ(missing.json["error"]["code"], "worker_not_found") << unknown << missing.body;
  }
}

TEST_F(Fleet, JobsOfEveryTenantAreListedForOperatorsAlone) {
  auto service = make_service();
  Client one = client(*service);
  Client two = client(*service, kOtherKey);
  Client admin = client(*service, kAdminKey);
  const std::string id = submit(one);
  submit(two);
  EXPECT_EQ(admin.get("/v1/admin/jobs").json["data"].size(), 2U);
  const json own = admin.get("/v1/admin/jobs?tenant=one&status=queued").json["data"];
  ASSERT_EQ(own.size(), 1U);
  EXPECT_EQ(own[0]["tenant"], "one");
  EXPECT_EQ(admin.get("/v1/admin/jobs/" + id).json["id"], id);
  EXPECT_EQ(admin.get("/v1/admin/jobs?tenant=%ff").json["error"]["param"], "tenant");
  for (const char* path : {"/v1/admin/dead_letters", "/v1/admin/jobs", "/v1/admin/keys"})
    EXPECT_EQ(admin.get(std::string(path) + "?tenant=%C3%BC").status, 400) << path;
  for (const std::string path : {"/v1/admin/jobs", "/v1/admin/keys", "/v1/admin/status", "/v1/admin/queues",
                                 "/v1/admin/workers", "/v1/admin/pauses"}) {
    EXPECT_EQ(one.get(path).status, 403) << path;
    EXPECT_EQ(admin.get(path).status, 200) << path;
  }
  EXPECT_EQ(one.get("/v1/jobs").json["data"].size(), 1U);
  const std::string cancel = "/v1/admin/jobs/" + id + "/cancel";
  EXPECT_EQ(one.post(cancel, json::object()).status, 403);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(admin.post(cancel, json::object()).json["status"], "cancelled");
  EXPECT_EQ(one.get("/v1/jobs/" + id).json["status"], "cancelled");
  EXPECT_EQ(admin.get("/v1/admin/audit?action=jobs.cancel").json["data"].size(), 1U);
  EXPECT_EQ(admin.post("/v1/admin/jobs/job_1/cancel", json::object()).json["error"]["code"], "job_not_found");
}

TEST_F(Fleet, WhatIsWrongWithABodyIsNamed) {
  auto service = make_service();
  Client admin = client(*service, kAdminKey);
  const auto param = [&](const std::string& path, const json& body) {
    const Reply refused = admin.post("/v1/admin/" + path, body);
    EXPECT_EQ(refused.status, 400) << refused.body;
    return refused.json["error"]["param"];
  };
  EXPECT_EQ(param("pauses", {{"kind", "model"}}), "name");
  EXPECT_EQ(param("pauses", {{"kind", "planet"}, {"name", "x"}}), "kind");
  EXPECT_EQ(param("pauses", {{"kind", "model"}, {"name", std::string(129, 'x')}}), "name");
  EXPECT_EQ(param("pauses", {{"kind", "model"}, {"name", "x"}, {"until", 5}}), "until");
  EXPECT_EQ(param("keys", {{"tenant", "one"}}), "name");
  EXPECT_EQ(param("keys", {{"tenant", "one"}, {"name", "x"}, {"scopes", {"root"}}}), "scopes");
  EXPECT_EQ(param("keys", {{"tenant", "one"}, {"name", "x"}, {"scopes", json::array()}}), "scopes");
  EXPECT_EQ(number("SELECT COUNT(*) FROM pause"), 0);
}

}  // namespace
}  // namespace sluice::producer
