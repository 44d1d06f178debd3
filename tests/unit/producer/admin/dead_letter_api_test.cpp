// The routes on the fake store, without a socket.
#include "producer/admin/dead_letter_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/fake_job_store.h"

namespace sluice::producer {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

class OneAnswer final : public http::Responder::Sink {
 public:
  explicit OneAnswer(http::Response& into) : into_(into) {}
  void answer(http::Response response) override { into_ = std::move(response); }

 private:
  http::Response& into_;
};

class NoAccounts final : public AccountStore {
 public:
  Result<Principal> find_key(const Secret& key, Deadline) override {
    if (key.reveal() == "operator") return Principal{TenantId{"ops"}, kScopeAdmin, "...ator", "night"};
    if (key.reveal() == "client") return Principal{TenantId{"t"}, kScopeSubmit | kScopeRead, "...ient", "c"};
    return fail(ErrorCode::kNotFound, "no such key");
  }
  Result<Secret> webhook_secret(const TenantId&, Deadline) override { return fail(ErrorCode::kNotFound, ""); }
  Status put_tenant(const TenantId&, std::string_view, const Secret&, Deadline) override { return {}; }
  Status put_key(const TenantId&, std::string_view, const Secret&, unsigned, Deadline) override { return {}; }
};

class DeadLetterApiTest : public ::testing::Test {
 protected:
  DeadLetterApiTest() {
    models_.add(make_echo_model());
    api_.add_routes(router_);
  }
  struct Reply {
    int status = 0;
    json body;
    http::Response response;
  };
  Reply call(http::Method method, const std::string& target, const std::string& body = "",
             const std::string& key = "operator") {
    http::Request request;
    request.method = method;
    request.path = target.substr(0, target.find('?'));
    if (target.find('?') != std::string::npos) {
      std::string rest = target.substr(target.find('?') + 1) + "&";
      for (std::size_t at; (at = rest.find('&')) != std::string::npos; rest = rest.substr(at + 1)) {
        const std::string pair = rest.substr(0, at);
        request.query.emplace_back(pair.substr(0, pair.find('=')), pair.substr(pair.find('=') + 1));
      }
    }
    request.headers.add("X-API-Key", key);
    request.body = body;
    const auto match = router_.match(method, request.path);
    if (match.route == nullptr) return {404, {}, {}};
    request.path_params = match.path_params;
    Reply reply;
    if (auto refused = match.route->authenticate(request)) {
      reply.response = std::move(*refused);
    } else {
      match.route->handler(std::move(request), http::Responder(std::make_shared<OneAnswer>(reply.response)));
    }
    reply.status = reply.response.status;
    reply.body = json::parse(reply.response.body, nullptr, false);
    return reply;
  }
  Reply get(const std::string& target) { return call(http::Method::kGet, target); }
  Reply post(const std::string& target, const json& body = json::object()) {
    return call(http::Method::kPost, target, body.dump());
  }

  JobId fail_job(const std::string& message = "it is too long",
                 const std::string& prompt = "a secret prompt") {
    std::vector<Submission> submissions(1);
    NewJob& fresh = submissions[0].jobs.emplace_back();
    fresh.job.id = ids_.make<JobId>(0);
    fresh.job.tenant.value = "t";
    fresh.job.model = "echo";
    fresh.request_json = R"({"prompt":")" + prompt + R"(","raw":false,"parameters":{"max_tokens":5}})";
    EXPECT_TRUE(store_.submit(submissions, soon())[0].has_value());
    const JobId id = submissions[0].jobs[0].job.id;
    die(id, 1, message);
    return id;
  }
  void die(const JobId& id, std::int64_t generation, const std::string& message = "it is too long") {
    const TaskRef task{id, generation, 0};
    const auto claimed = store_.claim(std::span(&task, 1), "w", soon());
    ASSERT_EQ(claimed->size(), 1U);
    const Ending ending{claimed->front().ref, "w",
                        Failed{JobError{"invalid_request", message, "invalid_request_error", ""}, true}};
    ASSERT_TRUE(store_.finish(std::span(&ending, 1), soon()).has_value());
    clock_.advance(seconds(1));
  }
  void run_steps() {
    while (store_.step_operation(soon())->worked) {
    }
  }
  Deadline soon() { return Deadline::in(clock_, seconds(5)); }

  ManualClock clock_;
  SeededRng rng_{7};
  IdMaker ids_{clock_, rng_};
  testing::FakeJobStore store_{clock_, ids_};
  NoAccounts accounts_;
  Authenticator authenticator_{accounts_, {}, clock_, {}};
  ModelCatalog models_;
  int operations_told_ = 0;
  int queued_told_ = 0;
  DeadLetterApi api_{{store_, store_, store_, authenticator_, models_, ids_, clock_, OperationRules{},
                      [this] { ++operations_told_; }, [this] { ++queued_told_; }},
                     seconds(5)};
  http::Router router_;
};

TEST_F(DeadLetterApiTest, OnlyOperatorsGetIn) {
  const JobId id = fail_job();
  for (const char* path : {"/v1/admin/dead_letters", "/v1/admin/dead_letters/groups", "/v1/admin/audit",
                           "/v1/admin/operations", "/v1/admin/dead_letters/export"}) {
    EXPECT_EQ(call(http::Method::kGet, path, "", "client").status, 403) << path;
    EXPECT_EQ(call(http::Method::kGet, path, "", "nobody").status, 401) << path;
    EXPECT_EQ(get(path).status, 200) << path;
  }
  EXPECT_EQ(call(http::Method::kPost, "/v1/admin/dead_letters/redrive", R"({"all": true})", "client").status,
            403);
  EXPECT_EQ(call(http::Method::kGet, "/v1/admin/dead_letters/" + id.value, "", "client").status, 403);
}

TEST_F(DeadLetterApiTest, LettersAreListedByPage) {
  const JobId a = fail_job();
  const JobId b = fail_job();
  Reply list = get("/v1/admin/dead_letters?limit=1");
  ASSERT_EQ(list.status, 200);
  ASSERT_EQ(list.body["data"].size(), 1U);
  EXPECT_EQ(list.body["has_more"], true);
  EXPECT_EQ(list.body["last_id"], b.value + ":1");
  const json& letter = list.body["data"][0];
  EXPECT_EQ(letter["object"], "dead_letter");
  EXPECT_EQ(letter["tenant"], "t");
  EXPECT_EQ(letter["reason"], "failed");
  EXPECT_EQ(letter["error"]["code"], "invalid_request");
  EXPECT_EQ(letter["state"], "dead");
  EXPECT_TRUE(letter["handled_at"].is_null());
  EXPECT_FALSE(letter.contains("request")) << "a list shows no prompts";
  list = get("/v1/admin/dead_letters?limit=1&after=" + b.value);
  EXPECT_EQ(list.body["has_more"], false);
  EXPECT_EQ(list.body["data"][0]["job_id"], a.value);
  EXPECT_EQ(get("/v1/admin/dead_letters?after=" + b.value + ":0").body["error"]["param"], "after");
  EXPECT_EQ(get("/v1/admin/dead_letters?state=redriven").body["data"].size(), 0U);
  EXPECT_EQ(get("/v1/admin/dead_letters?state=any").body["data"].size(), 2U);
  EXPECT_EQ(get("/v1/admin/dead_letters?state=lost").body["error"]["param"], "state");
  EXPECT_EQ(get("/v1/admin/dead_letters?after=" + ids_.make<JobId>(0).value).status, 404);
}

TEST_F(DeadLetterApiTest, PagesEndEvenWhereAJobDiedTwice) {
  const JobId id = fail_job();
  ASSERT_EQ(post("/v1/admin/dead_letters/redrive", {{"all", true}}).status, 202);
  run_steps();
  die(id, 2);
  std::vector<std::string> seen;
  std::string after;
  for (bool more = true; more && seen.size() < 5;) {
    const Reply page = get("/v1/admin/dead_letters?state=any&limit=1" + after);
    ASSERT_EQ(page.status, 200) << page.body;
    seen.push_back(page.body["last_id"]);
    more = page.body["has_more"];
    after = "&after=" + seen.back();
  }
  EXPECT_EQ(seen, (std::vector<std::string>{id.value + ":2", id.value + ":1"}));
}

TEST_F(DeadLetterApiTest, OneIsShownWithItsRequestAndAttempts) {
  const JobId id = fail_job();
  const Reply shown = get("/v1/admin/dead_letters/" + id.value);
  ASSERT_EQ(shown.status, 200);
  EXPECT_EQ(shown.body["request"]["prompt"], "a secret prompt");
  EXPECT_EQ(shown.body["job"]["status"], "failed");
  ASSERT_EQ(shown.body["attempt_log"].size(), 1U);
  EXPECT_EQ(shown.body["attempt_log"][0]["worker"], "w");
  for (const std::string& unknown : {ids_.make<JobId>(0).value, std::string("nonsense")}) {
    const Reply missing = get("/v1/admin/dead_letters/" + unknown);
    EXPECT_EQ(missing.status, 404);
    EXPECT_EQ(missing.body["error"]["code"], "dead_letter_not_found");
  }
}

TEST_F(DeadLetterApiTest, ADryRunTellsAndChangesNothing) {
  fail_job("one kind");
  fail_job("another kind");
  const Reply dry = post("/v1/admin/dead_letters/redrive", {{"all", true}, {"dry_run", true}});
  ASSERT_EQ(dry.status, 200) << dry.body;
  EXPECT_EQ(dry.body["object"], "dry_run");
  EXPECT_EQ(dry.body["matching"], 2);
  EXPECT_EQ(dry.body["would_move"], 2);
  EXPECT_EQ(dry.body["groups"].size(), 2U);
  EXPECT_EQ(operations_told_, 0);
  EXPECT_EQ(get("/v1/admin/operations").body["data"].size(), 0U);
  EXPECT_EQ(get("/v1/admin/dead_letters").body["data"].size(), 2U);
}

TEST_F(DeadLetterApiTest, ARedriveIsAnOperationThatCanBeFollowed) {
  const JobId id = fail_job();
  const Reply started = post("/v1/admin/dead_letters/redrive",
                             {{"filter", {{"reason", "failed"}}}, {"rate", 50}, {"canary", 1}});
  ASSERT_EQ(started.status, 202) << started.body;
  const std::string path = "/v1/admin/operations/" + started.body["id"].get<std::string>();
  EXPECT_EQ(*started.response.headers.get("Location"), path);
  EXPECT_EQ(started.body["status"], "running");
  EXPECT_EQ(started.body["total"], 1);
  EXPECT_EQ(started.body["filter"]["reason"], "failed");
  EXPECT_EQ(started.body["actor"]["key"], "night ...ator");
  EXPECT_EQ(operations_told_, 1);
  run_steps();
  EXPECT_EQ(get(path).body["status"], "canary");
  EXPECT_EQ(get(path).body["outcome"]["unfinished"], 1);
  EXPECT_EQ(store_.get(TenantId{}, id, soon())->generation, 2);
  EXPECT_EQ(post(path + "/continue").body["status"], "running");
  EXPECT_EQ(operations_told_, 2);
  run_steps();
  EXPECT_EQ(get(path).body["status"], "done");
  const Reply late = post(path + "/cancel");
  EXPECT_EQ(late.status, 409);
  EXPECT_EQ(late.body["error"]["code"], "operation_over");
  EXPECT_EQ(get("/v1/admin/operations/op_none").status, 404);
  const json audit = get("/v1/admin/audit").body["data"];
  ASSERT_EQ(audit.size(), 3U);
  EXPECT_EQ(audit[2]["action"], "dead_letters.redrive");
  EXPECT_EQ(audit[2]["filter"], (json{{"reason", "failed"}, {"rate", 50.0}, {"canary", 1}}));
  EXPECT_EQ(audit[2]["count"], 1);
  EXPECT_EQ(get("/v1/admin/audit?action=dead_letters.redrive.done").body["data"].size(), 1U);
  EXPECT_EQ(get("/v1/admin/audit?action=\xc3\xa9").body["error"]["param"], "action");
}

TEST_F(DeadLetterApiTest, AnOperationTellsWhyItsLastStepFailed) {
  fail_job();
  const Reply started = post("/v1/admin/dead_letters/discard", {{"all", true}});
  const std::string path = "/v1/admin/operations/" + started.body["id"].get<std::string>();
  EXPECT_TRUE(started.body.at("last_error").is_null());
  store_.fail_next("step_operation", ErrorCode::kInternal);
  EXPECT_FALSE(store_.step_operation(soon()).has_value());
  EXPECT_EQ(get(path).body["last_error"], "fault asked for");
  EXPECT_EQ(get("/v1/admin/operations").body["data"][0]["last_error"], "fault asked for");
  clock_.advance(seconds(31));
  run_steps();
  EXPECT_EQ(get(path).body["status"], "done");
  EXPECT_TRUE(get(path).body["last_error"].is_null());
}

TEST_F(DeadLetterApiTest, UnknownAndHandledIdsAreRefusedByName) {
  const JobId id = fail_job();
  const JobId unknown = ids_.make<JobId>(0);
  Reply refused = post("/v1/admin/dead_letters/discard", {{"ids", {id.value, unknown.value}}});
  EXPECT_EQ(refused.status, 404);
  EXPECT_EQ(refused.body["unknown_ids"], json::array({unknown.value}));
  EXPECT_EQ(post("/v1/admin/dead_letters/discard", {{"ids", {id.value}}}).status, 202);
  run_steps();
  refused = post("/v1/admin/dead_letters/redrive", {{"ids", {id.value}}});
  EXPECT_EQ(refused.status, 409);
  EXPECT_THAT(refused.body["error"]["message"].get<std::string>(), HasSubstr("is discarded"));
}

TEST_F(DeadLetterApiTest, TheLoopGuardAsksForForce) {
  const JobId id = fail_job();
  for (std::int64_t generation = 2; generation <= 4; ++generation) {
    ASSERT_EQ(post("/v1/admin/dead_letters/redrive", {{"ids", {id.value}}}).status, 202);
    run_steps();
    die(id, generation);
  }
  const Reply refused = post("/v1/admin/dead_letters/redrive", {{"ids", {id.value}}});
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(refused.body["error"]["code"], "redriven_too_often");
  EXPECT_EQ(refused.body["error"]["param"], "force");
  const Reply dry = post("/v1/admin/dead_letters/redrive", {{"ids", {id.value}}, {"dry_run", true}});
  EXPECT_EQ(dry.body["guarded"], 1);
  EXPECT_EQ(dry.body["would_move"], 0);
  EXPECT_EQ(post("/v1/admin/dead_letters/redrive", {{"ids", {id.value}}, {"force", true}}).status, 202);
  run_steps();
  EXPECT_EQ(store_.get(TenantId{}, id, soon())->generation, 5);
}

TEST_F(DeadLetterApiTest, AReplayIsAJobOfTheSameTenantThatKnowsItsOrigin) {
  const JobId id = fail_job();
  const Reply made =
      post("/v1/admin/dead_letters/" + id.value + "/replay", {{"changes", {{"prompt", "a better secret"}}}});
  ASSERT_EQ(made.status, 202) << made.body;
  EXPECT_EQ(made.body["replay_of"], id.value);
  EXPECT_EQ(made.body["status"], "queued");
  EXPECT_EQ(queued_told_, 1);
  const JobId copy{made.body["id"].get<std::string>()};
  EXPECT_EQ(store_.get(TenantId{"t"}, copy, soon())->state, JobState::kQueued);
  const Reply shown = get("/v1/admin/dead_letters/" + id.value);
  EXPECT_EQ(shown.body["state"], "replayed");
  EXPECT_EQ(shown.body["replayed_as"], copy.value);
  EXPECT_EQ(shown.body["request"]["prompt"], "a secret prompt");
  EXPECT_EQ(post("/v1/admin/dead_letters/" + id.value + "/replay", {{"changes", {{"prompt", "x"}}}}).status,
            409);
  const Reply audit = get("/v1/admin/audit");
  EXPECT_EQ(audit.body["data"][0]["filter"]["changed"], json::array({"prompt"}));
  EXPECT_THAT(audit.response.body, Not(HasSubstr("secret")));
}

TEST_F(DeadLetterApiTest, AnExportHasEverythingOneLineForEachAndIsAudited) {
  const JobId a = fail_job();
  const JobId b = fail_job();
  const Reply first = get("/v1/admin/dead_letters/export?limit=1");
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(*first.response.headers.get("Content-Type"), "application/x-ndjson");
  EXPECT_EQ(*first.response.headers.get("X-Next-After"), b.value + ":1");
  EXPECT_EQ(first.body["job_id"], b.value);
  EXPECT_EQ(first.body["request"]["prompt"], "a secret prompt");
  EXPECT_FALSE(first.body.contains("earlier")) << "nobody looked for them";
  EXPECT_FALSE(first.body.contains("replay_of"));
  EXPECT_EQ(first.response.body.find('\n'), first.response.body.size() - 1);
  const Reply second = get("/v1/admin/dead_letters/export?limit=1&after=" + b.value + ":1");
  EXPECT_EQ(second.body["job_id"], a.value);
  EXPECT_FALSE(second.response.headers.contains("X-Next-After"));
  const json audit = get("/v1/admin/audit").body["data"];
  ASSERT_EQ(audit.size(), 2U) << "nothing is shown without an entry, wherever one begins";
  EXPECT_EQ(audit[0]["action"], "dead_letters.export");
  EXPECT_EQ(audit[0]["count"], 1);
}

TEST_F(DeadLetterApiTest, WhatWasDoneIsAnsweredThoughItsOutcomeCanNotBeTold) {
  fail_job();
  fail_job();
  store_.fail_next("operation_outcome", ErrorCode::kDeadline);
  const Reply started = post("/v1/admin/dead_letters/redrive", {{"all", true}, {"canary", 1}});
  ASSERT_EQ(started.status, 202) << started.body;
  EXPECT_EQ(started.body["outcome"]["unfinished"], 0) << "nothing has moved: nobody asked";
  EXPECT_EQ(store_.calls("operation_outcome"), 0);
  const std::string path = "/v1/admin/operations/" + started.body["id"].get<std::string>();
  const Reply running = get(path);
  EXPECT_EQ(running.status, 200);
  EXPECT_TRUE(running.body.at("outcome").is_null());
  run_steps();
  store_.fail_next("operation_outcome", ErrorCode::kDeadline);
  EXPECT_EQ(get(path).status, 503) << "who watches a canary must not take this for its end";
  store_.fail_next("operation_outcome", ErrorCode::kDeadline, 2);
  const Reply continued = post(path + "/continue");
  EXPECT_EQ(continued.status, 200);
  EXPECT_EQ(continued.body["status"], "running");
  EXPECT_TRUE(continued.body.at("outcome").is_null());
  EXPECT_EQ(post(path + "/cancel").status, 200);
}

TEST_F(DeadLetterApiTest, AStartOfUnknownOutcomeIsNotToBeRepeatedBlindly) {
  fail_job();
  store_.fail_next("start_operation", ErrorCode::kOutcomeUnknown);
  const Reply unknown = post("/v1/admin/dead_letters/redrive", {{"all", true}});
  EXPECT_EQ(unknown.status, 503);
  EXPECT_EQ(unknown.body["error"]["code"], "outcome_unknown");
  EXPECT_THAT(unknown.body["error"]["message"].get<std::string>(), HasSubstr("/v1/admin/operations"));
}

TEST_F(DeadLetterApiTest, ALostDatabaseIsA503ThatMayBeRepeated) {
  fail_job();
  store_.fail_next("start_operation", ErrorCode::kUnavailable);
  const Reply lost = post("/v1/admin/dead_letters/redrive", {{"all", true}});
  EXPECT_EQ(lost.status, 503);
  EXPECT_TRUE(lost.response.headers.contains("Retry-After"));
  EXPECT_EQ(operations_told_, 0);
}

}  // namespace
}  // namespace sluice::producer
