// OpenAI's completion routes of the producer on real servers.
#include <gmock/gmock.h>

#include <future>
#include <set>
#include <sstream>

#include "tests/integration/producer/world.h"

namespace sluice::producer {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const json kChat = {{"messages", {{{"role", "user"}, {"content", "one two"}}}}};

const std::string kNothing = "{}";

class ProducerCompletions : public ProducerWorld {
 protected:
  // Sends a request from a thread of its own, which waits for the answer.
  std::future<Reply> post_later(const Service& service, std::string path, json body) {
    return std::async(std::launch::async, [this, &service, path = std::move(path), body = std::move(body)] {
      return client(service).post(path, body);
    });
  }
  // The only job there is, once it is.
  std::string only_job() {
    EXPECT_TRUE(eventually([this] { return in_state("queued") == 1; }));
    const auto rows = database_->pool().query(Sql("SELECT id FROM job"), soon());
    return rows && rows->size() == 1 ? rows->front().str(0) : "";
  }
};

TEST_F(ProducerCompletions, AChatIsAnsweredAndCanBeFetchedAgain) {
  auto service = make_service();
  start_worker();
  Client http = client(*service);
  const Reply done = http.post("/v1/chat/completions", kChat);
  ASSERT_EQ(done.status, 200) << done.body;
  const std::string id = done.json["id"];
  EXPECT_THAT(id, StartsWith("chatcmpl-"));
  EXPECT_EQ(done.json["object"], "chat.completion");
  EXPECT_EQ(done.json["choices"][0]["message"]["content"], "done");
  EXPECT_EQ(done.json["usage"]["total_tokens"], 2);
  EXPECT_EQ(done.headers.at("x-sluice-job"), "job_" + id.substr(9));
  EXPECT_EQ(http.get("/v1/chat/completions/" + id).json, done.json);
  EXPECT_EQ(http.get("/v1/jobs/job_" + id.substr(9)).json["result"]["text"], "done");

  const Reply text = http.post("/v1/completions", {{"prompt", "one two"}, {"max_tokens", 5}});
  ASSERT_EQ(text.status, 200) << text.body;
  EXPECT_EQ(text.json["choices"][0]["text"], "done");
  // By another surface's name, or to another tenant, it isn't there: with the same answer as what never was.
  const std::string uuid = id.substr(9);
  const Reply never = http.get("/v1/completions/cmpl-01234567-89ab-7cde-8f01-23456789abcd");
  EXPECT_EQ(never.status, 404);
  EXPECT_EQ(never.json["error"]["code"], "completion_not_found");
  EXPECT_EQ(http.get("/v1/completions/cmpl-" + uuid).body, never.body);
  EXPECT_EQ(client(*service, kOtherKey).get("/v1/chat/completions/" + id).body, never.body);
  EXPECT_EQ(client(*service, kReadKey).post("/v1/chat/completions", kChat).status, 403);
}

TEST_F(ProducerCompletions, WhatIsWrongIsToldByName) {
  auto service = make_service();
  Client http = client(*service);
  json body = kChat;
  body["n"] = 2;
  const Reply refused = http.post("/v1/chat/completions", body);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json["error"]["param"], "n");
  EXPECT_EQ(refused.json["error"]["type"], "invalid_request_error");
  EXPECT_EQ(http.post("/v1/chat/completions", std::string("{")).json["error"]["code"], "invalid_json");
  body = kChat;
  body["model"] = "gpt-9";
  const Reply unknown = http.post("/v1/chat/completions", body);
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.json["error"]["code"], "model_not_found");
  EXPECT_EQ(number("SELECT COUNT(*) FROM job"), 0);
}

TEST_F(ProducerCompletions, WhoDoesntWaitGetsTheJob) {
  auto service = make_service();
  Client http = client(*service);
  const Reply accepted = http.post("/v1/chat/completions", kChat.dump(), {"Prefer: wait=5, respond-async"});
  ASSERT_EQ(accepted.status, 202) << accepted.body;
  EXPECT_EQ(accepted.headers.at("preference-applied"), "respond-async");
  const std::string location = accepted.headers.at("location");
  EXPECT_THAT(location, StartsWith("/v1/chat/completions/chatcmpl-"));
  EXPECT_EQ(accepted.headers.at("x-sluice-job"), accepted.json["id"]);
  const Reply pending = http.get(location);
  EXPECT_EQ(pending.status, 202);
  EXPECT_EQ(pending.json["status"], "queued");
  start_worker();
  EXPECT_TRUE(eventually([&] { return http.get(location).status == 200; }));
}

TEST_F(ProducerCompletions, AnEndThatIsNoAnswerIsAnError) {
  auto service = make_service();
  auto waiting = post_later(*service, "/v1/chat/completions", kChat);
  Client http = client(*service);
  const std::string job = only_job();
  EXPECT_EQ(http.post("/v1/jobs/" + job + "/cancel", kNothing).status, 200);
  const Reply ended = waiting.get();
  EXPECT_EQ(ended.status, 499);
  EXPECT_EQ(ended.json["error"]["code"], "job_cancelled");
  EXPECT_EQ(ended.json["job_id"], job);
  EXPECT_EQ(http.get("/v1/chat/completions/" + job).status, 499);
}

TEST_F(ProducerCompletions, ALongWaitGetsItsHeaderEarly) {
  auto service = make_service([](ProducerConfig& config) {
    config.completions.early_headers = std::chrono::milliseconds(0);
    config.http.stream_heartbeat = std::chrono::milliseconds(5);
  });
  const auto metric = [this, &service] { return client(*service).get("/metrics").body; };
  auto waiting = post_later(*service, "/v1/chat/completions", kChat);
  (void)only_job();
  EXPECT_TRUE(eventually(
      [&] { return metric().find("sluice_producer_early_headers_total 1") != std::string::npos; }));
  start_worker();
  const Reply done = waiting.get();
  EXPECT_EQ(done.status, 200);
  EXPECT_THAT(done.body, StartsWith(" "));
  EXPECT_EQ(done.json["choices"][0]["message"]["content"], "done") << done.body;
  EXPECT_EQ(done.headers.count("x-sluice-job"), 1U);
  stop_worker();

  // The status is out: a job that fails now breaks the answer off.
  auto cancelled = post_later(*service, "/v1/chat/completions", kChat);
  std::string job;
  EXPECT_TRUE(eventually(
      [&] { return metric().find("sluice_producer_early_headers_total 2") != std::string::npos; }));
  const auto rows = database_->pool().query(Sql("SELECT id FROM job WHERE state = 'queued'"), soon());
  ASSERT_TRUE(rows && rows->size() == 1);
  EXPECT_EQ(client(*service).post("/v1/jobs/" + rows->front().str(0) + "/cancel", kNothing).status, 200);
  EXPECT_EQ(cancelled.get().status, 0);
}

TEST_F(ProducerCompletions, AResponseInTheBackgroundIsPolledAndGoneOnFrom) {
  auto service = make_service();
  Client http = client(*service);
  const Reply queued = http.post("/v1/responses", {{"input", "one two"},
                                                   {"instructions", "Be brief."},
                                                   {"background", true},
                                                   {"metadata", {{"k", "v"}}}});
  ASSERT_EQ(queued.status, 200) << queued.body;
  EXPECT_EQ(queued.json["status"], "queued");
  const std::string id = queued.json["id"];
  EXPECT_THAT(id, StartsWith("resp_"));
  const Reply too_soon = http.post("/v1/responses", {{"input", "three"}, {"previous_response_id", id}});
  EXPECT_EQ(too_soon.status, 404);
  EXPECT_EQ(too_soon.json["error"]["param"], "previous_response_id");
  start_worker();
  EXPECT_TRUE(eventually([&] { return http.get("/v1/responses/" + id).json["status"] == "completed"; }));
  const Reply completed = http.get("/v1/responses/" + id);
  EXPECT_EQ(completed.json["output"][0]["content"][0]["text"], "done");
  EXPECT_EQ(completed.json["instructions"], "Be brief.");
  EXPECT_EQ(completed.json["background"], true);
  EXPECT_EQ(completed.json["metadata"]["k"], "v");

  const Reply next = http.post("/v1/responses", {{"input", "three"}, {"previous_response_id", id}});
  ASSERT_EQ(next.status, 200) << next.body;
  EXPECT_EQ(next.json["status"], "completed");
  EXPECT_EQ(next.json["previous_response_id"], id);
  const JobId job{"job_" + std::string(next.json["id"]).substr(5)};
  const auto asked = job_request_from_json(store_->get_request({}, job, soon()).value());
  EXPECT_EQ(asked->messages,
            (std::vector<RequestMessage>{{"user", "one two"}, {"assistant", "done"}, {"user", "three"}}));
  const Reply foreign =
      client(*service, kOtherKey).post("/v1/responses", {{"input", "x"}, {"previous_response_id", id}});
  EXPECT_EQ(foreign.status, 404);
  EXPECT_EQ(client(*service, kOtherKey).post("/v1/responses/" + id + "/cancel", kNothing).status, 404);
}

// The data of a stream's events; "[DONE]" as a string.
std::vector<json> data_of(const std::string& events) {
  std::vector<json> out;
  std::istringstream lines(events);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("data:")) continue;
    json data = json::parse(line.substr(5), nullptr, false);
    out.push_back(data.is_discarded() ? json(line.substr(6)) : std::move(data));
  }
  return out;
}

TEST_F(ProducerCompletions, AChatIsStreamed) {
  auto service = make_service();
  start_worker();
  Client http = client(*service);
  json body = kChat;
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  const Reply streamed = http.post("/v1/chat/completions", body);
  ASSERT_EQ(streamed.status, 200) << streamed.body;
  EXPECT_THAT(streamed.headers.at("content-type"), StartsWith("text/event-stream"));
  const auto chunks = data_of(streamed.body);
  ASSERT_EQ(chunks.size(), 5U) << streamed.body;
  EXPECT_EQ(chunks[0]["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(chunks[1]["choices"][0]["delta"]["content"], "done");
  EXPECT_EQ(chunks[2]["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(chunks[3]["usage"]["total_tokens"], 2);
  EXPECT_EQ(chunks[4], "[DONE]");
  const JobId job{streamed.headers.at("x-sluice-job")};
  const auto asked = job_request_from_json(store_->get_request({}, job, soon()).value());
  EXPECT_TRUE(asked->parameters.stream);
  EXPECT_TRUE(asked->parameters.seed.has_value());
  body["temperature"] = 9;
  EXPECT_EQ(http.post("/v1/chat/completions", body).status, 400);
}

TEST_F(ProducerCompletions, AStreamTellsOfAnEndThatIsNoAnswer) {
  auto service = make_service();
  json body = kChat;
  body["stream"] = true;
  auto waiting = post_later(*service, "/v1/chat/completions", body);
  const std::string job = only_job();
  EXPECT_EQ(client(*service).post("/v1/jobs/" + job + "/cancel", kNothing).status, 200);
  const Reply ended = waiting.get();
  EXPECT_EQ(ended.status, 200);
  EXPECT_EQ(data_of(ended.body).back()["error"]["code"], "job_cancelled") << ended.body;
}

TEST_F(ProducerCompletions, AResponsesStreamIsResumed) {
  auto service = make_service();
  start_worker();
  Client http = client(*service);
  const Reply streamed = http.post("/v1/responses", {{"input", "one two"}, {"stream", true}});
  ASSERT_EQ(streamed.status, 200) << streamed.body;
  const auto all = data_of(streamed.body);
  ASSERT_GE(all.size(), 9U) << streamed.body;
  EXPECT_EQ(all.back()["type"], "response.completed");
  const std::string id = all.back()["response"]["id"];
  for (const json& event : all) {
    const auto number = std::to_string(event["sequence_number"].get<int>());
    const Reply rest = http.get("/v1/responses/" + id + "?stream=true&starting_after=" + number);
    ASSERT_EQ(rest.status, 200);
    const auto left = data_of(rest.body);
    EXPECT_EQ(left.size(), all.size() - 1 - static_cast<std::size_t>(&event - all.data())) << number;
    if (!left.empty()) {
      EXPECT_EQ(left.back(), all.back());
    }
  }
  EXPECT_EQ(http.get("/v1/responses/" + id + "?stream=true&starting_after=x").status, 400);
  EXPECT_EQ(client(*service, kOtherKey).get("/v1/responses/" + id + "?stream=true").status, 404);
}

TEST_F(ProducerCompletions, AResponseCanBeCancelled) {
  auto service = make_service();
  Client http = client(*service);
  const std::string id = http.post("/v1/responses", {{"input", "x"}, {"background", true}}).json["id"];
  const Reply cancelled = http.post("/v1/responses/" + id + "/cancel", std::string());
  EXPECT_EQ(cancelled.status, 200);
  EXPECT_EQ(cancelled.json["status"], "cancelled");
  EXPECT_EQ(http.post("/v1/responses/" + id + "/cancel", kNothing).json["status"], "cancelled");
  // A chat's job is not a response.
  const Reply chat = http.post("/v1/chat/completions", kChat.dump(), {"Prefer: respond-async"});
  const std::string job = chat.json["id"];
  EXPECT_EQ(http.post("/v1/responses/" + job + "/cancel", kNothing).status, 404);
  EXPECT_EQ(http.get("/v1/jobs/" + job).json["status"], "queued");
}

TEST_F(ProducerCompletions, ADeletedResponseIsNowhereAnyMore) {
  auto one = make_service();
  auto two = make_service();
  start_worker();
  Client http = client(*one);
  const std::vector<std::string> key = {"Idempotency-Key: r"};
  const std::string body = json({{"input", "one two"}}).dump();
  const Reply made = http.post("/v1/responses", body, key);
  ASSERT_EQ(made.status, 200) << made.body;
  const std::string id = made.json["id"];
  const std::string job = made.headers.at("x-sluice-job");
  // A copy that a worker left, or leaves later.
  RedisPool redis(config().redis, clock_, rng_, Log("test", LogLevel::kError, clock_));
  const Job whole = store_->get({}, JobId{job}, soon()).value();
  const auto leave_copy = [&] {
    EXPECT_TRUE(redis.command({"SET", "sluice:job:" + job, job_to_cache(whole), "EX", "60"}, soon()));
  };
  leave_copy();
  EXPECT_TRUE(redis.command({"SET", "sluice:tokens:" + job + ":1", "one two", "EX", "60"}, soon()));
  EXPECT_EQ(client(*one, kReadKey).remove("/v1/responses/" + id).status, 403);
  EXPECT_EQ(client(*one, kOtherKey).remove("/v1/responses/" + id).status, 404);
  const Reply deleted = http.remove("/v1/responses/" + id);
  ASSERT_EQ(deleted.status, 200) << deleted.body;
  EXPECT_EQ(deleted.json, json({{"id", id}, {"object", "response"}, {"deleted", true}}));
  const auto left = redis.command({"EXISTS", "sluice:job:" + job, "sluice:tokens:" + job + ":1"}, soon());
  ASSERT_TRUE(left.has_value());
  EXPECT_EQ(left->integer, 0);
  leave_copy();
  for (const Service* service : {one.get(), two.get()}) {
    Client asking = client(*service);
    for (const Reply& gone :
         {asking.get("/v1/responses/" + id), asking.get("/v1/responses/" + id + "?stream=true"),
          asking.post("/v1/responses/" + id + "/cancel", kNothing), asking.remove("/v1/responses/" + id)}) {
      EXPECT_EQ(gone.status, 404);
      EXPECT_EQ(gone.json["error"]["code"], "response_not_found") << gone.body;
    }
    const Reply next = asking.post("/v1/responses", {{"input", "x"}, {"previous_response_id", id}});
    EXPECT_EQ(next.json["error"]["code"], "previous_response_not_found") << next.body;
    for (const char* query : {"", "?wait=1", "/events"}) {
      const Reply native = asking.get("/v1/jobs/" + job + query);
      EXPECT_EQ(native.status, 200);
      EXPECT_EQ(native.body.find("done"), std::string::npos) << native.body;
    }
    EXPECT_EQ(asking.get("/v1/jobs/" + job).json["result"]["usage"]["total_tokens"], 2);
  }
  EXPECT_EQ(number("SELECT COUNT(*) FROM job_payload WHERE request LIKE '%two%'"), 0);
  const Reply again = http.post("/v1/responses", body, key);
  EXPECT_EQ(again.status, 200);
  EXPECT_NE(again.json["id"], id);
}

TEST_F(ProducerCompletions, AResponseThatIsDeletedWhileItRunsIsCancelled) {
  auto service = make_service();
  Client http = client(*service);
  auto waiting = post_later(*service, "/v1/responses", {{"input", "x"}});
  const std::string job = only_job();
  const Reply deleted = http.remove("/v1/responses/" + job);
  ASSERT_EQ(deleted.status, 200) << deleted.body;
  EXPECT_EQ(waiting.get().status, 499);
  EXPECT_EQ(http.get("/v1/jobs/" + job).json["status"], "cancelled");
  EXPECT_EQ(http.get("/v1/responses/" + job).status, 404);
  // What is no response isn't deleted here.
  const Reply chat = http.post("/v1/chat/completions", kChat.dump(), {"Prefer: respond-async"});
  EXPECT_EQ(http.remove("/v1/responses/" + std::string(chat.json["id"])).status, 404);
  EXPECT_EQ(in_state("queued"), 1);
}

TEST_F(ProducerCompletions, ASessionGoesOnWithoutBeingSentAgain) {
  auto one = make_service();
  auto two = make_service();
  start_worker();
  Client http = client(*one);
  Client elsewhere = client(*two);
  const auto turn = [](const std::string& text) {
    return json{{"session_id", "s-1"}, {"messages", {{{"role", "user"}, {"content", text}}}}};
  };
  const Reply first = http.post("/v1/chat/completions", turn("one"));
  ASSERT_EQ(first.status, 200) << first.body;
  EXPECT_EQ(first.headers.at("x-sluice-session"), "new; turn=1");
  json streamed = turn("two");
  streamed["stream"] = true;
  const Reply second = elsewhere.post("/v1/chat/completions", streamed);
  EXPECT_EQ(second.headers.at("x-sluice-session"), "continued; turn=2") << second.body;
  const Reply third = http.post("/v1/jobs", turn("three"));
  ASSERT_EQ(third.status, 202) << third.body;
  EXPECT_EQ(third.headers.at("x-sluice-session"), "continued; turn=3");
  const JobId job{third.json["id"].get<std::string>()};
  const auto asked = job_request_from_json(store_->get_request({}, job, soon()).value());
  EXPECT_EQ(asked->messages, (std::vector<RequestMessage>{{"user", "one"},
                                                          {"assistant", "done"},
                                                          {"user", "two"},
                                                          {"assistant", "done"},
                                                          {"user", "three"}}));
  const Reply foreign = client(*one, kOtherKey).post("/v1/chat/completions", turn("whose?"));
  EXPECT_EQ(foreign.headers.at("x-sluice-session"), "new; turn=1");
  EXPECT_TRUE(eventually([&] { return in_state("succeeded") == 4; }));
  // Its time over, it begins anew.
  database_->execute("UPDATE session SET expires_at = UTC_TIMESTAMP(6)");
  EXPECT_EQ(http.post("/v1/chat/completions", turn("four")).headers.at("x-sluice-session"), "new; turn=1");
}

TEST_F(ProducerCompletions, ATurnIsBusyUntilItEndsAndIsNeverLost) {
  auto one = make_service();
  auto two = make_service();
  Client http = client(*one);
  const json body = {{"session_id", "s"}, {"messages", kChat["messages"]}};
  const std::vector<std::string> key = {"Idempotency-Key: turn", "Prefer: respond-async"};
  const Reply queued = http.post("/v1/chat/completions", body.dump(), key);
  ASSERT_EQ(queued.status, 202) << queued.body;
  EXPECT_EQ(queued.headers.at("x-sluice-session"), "new; turn=1");
  const Reply busy = http.post("/v1/chat/completions", body);
  EXPECT_EQ(busy.status, 409);
  EXPECT_EQ(busy.json["error"]["code"], "session_busy");
  EXPECT_EQ(busy.headers.at("retry-after"), "1");
  EXPECT_EQ(busy.headers.at("x-should-retry"), "false");
  EXPECT_EQ(http.post("/v1/jobs", body).json["error"]["code"], "session_busy");
  // A repetition is the same turn, under way or not.
  const Reply again = client(*two).post("/v1/chat/completions", body.dump(), key);
  EXPECT_EQ(again.json["id"], queued.json["id"]);
  EXPECT_EQ(again.headers.at("x-sluice-session"), "new; turn=1");
  const std::string job = queued.json["id"];
  EXPECT_EQ(http.post("/v1/jobs/" + job + "/cancel", kNothing).status, 200);
  EXPECT_EQ(http.post("/v1/jobs", body).headers.at("x-sluice-session"), "new; turn=1")
      << "a turn without an answer is left out";
  start_worker();
  EXPECT_TRUE(eventually([this] { return in_state("succeeded") == 1; }));
  stop_worker();
  // The same turn many times at once is one job, and nobody is told to wait for it.
  std::vector<std::future<Reply>> same;
  const std::vector<std::string> next = {"Idempotency-Key: next", "Prefer: respond-async"};
  for (int i = 0; i < 20; ++i) {
    same.push_back(std::async(std::launch::async, [this, &body, &next, &service = i % 2 == 0 ? *one : *two] {
      return client(service).post("/v1/chat/completions", body.dump(), next);
    }));
  }
  std::set<std::string> ids;
  for (auto& one_reply : same) {
    const Reply reply = one_reply.get();
    EXPECT_EQ(reply.status, 202) << reply.body;
    ids.insert(reply.json.value("id", ""));
  }
  EXPECT_EQ(ids.size(), 1U);
  start_worker();
  EXPECT_TRUE(eventually([this] { return in_state("succeeded") == 2; }));
  stop_worker();
  // Many at once: one of them is the next turn.
  std::vector<std::future<Reply>> turns;
  for (int i = 0; i < 20; ++i) {
    turns.push_back(std::async(std::launch::async, [this, &body, &service = i % 2 == 0 ? *one : *two] {
      return client(service).post("/v1/jobs", body);
    }));
  }
  int taken = 0;
  for (auto& one_turn : turns) {
    const Reply reply = one_turn.get();
    taken += reply.status == 202 ? 1 : 0;
    if (reply.status != 202) {
      EXPECT_EQ(reply.json["error"]["code"], "session_busy") << reply.body;
    } else {
      EXPECT_EQ(reply.headers.at("x-sluice-session"), "continued; turn=3");
    }
  }
  EXPECT_EQ(taken, 1);
  EXPECT_EQ(number("SELECT COUNT(*) FROM job"), 4);
}

// An SDK repeats what was refused by itself; the only job that an equal request made is the turn before.
TEST_F(ProducerCompletions, EqualTurnsAreTwoTurnsThoughTheSecondIsARepetition) {
  auto service = make_service();
  Client http = client(*service);
  const auto turn = [&http](const char* path, const std::string& session, const char* count) {
    const json body = {{"session_id", session}, {"messages", kChat["messages"]}};
    return http.post(path, body.dump(),
                     {std::string("X-Stainless-Retry-Count: ") + count, "Prefer: respond-async"});
  };
  int done = 0;
  for (const char* path : {"/v1/chat/completions", "/v1/jobs"}) {
    const std::string session = "s-" + std::to_string(done);
    const Reply first = turn(path, session, "0");
    ASSERT_EQ(first.status, 202) << first.body;
    EXPECT_EQ(first.headers.at("x-sluice-session"), "new; turn=1");
    const Reply busy = turn(path, session, "0");
    EXPECT_EQ(busy.json["error"]["code"], "session_busy") << busy.body;
    EXPECT_EQ(turn(path, session, "1").json["error"]["code"], "session_busy")
        << "it is not the turn that is under way";
    start_worker();
    EXPECT_TRUE(eventually([&] { return in_state("succeeded") == done + 1; }));
    const Reply second = turn(path, session, "1");
    ASSERT_EQ(second.status, 202) << second.body;
    EXPECT_NE(second.json["id"], first.json["id"]);
    EXPECT_EQ(second.headers.at("x-sluice-session"), "continued; turn=2");
    done += 2;
    EXPECT_TRUE(eventually([&] { return in_state("succeeded") == done; }));
    stop_worker();
  }
}

TEST_F(ProducerCompletions, AJobGoesWithItsClientIfThatWishesSo) {
  auto service = make_service();
  Client leaver = client(*service);
  leaver.leave_after(std::chrono::milliseconds(300));
  for (const bool stream : {false, true}) {
    for (const bool wished : {true, false}) {
      database_->clear_jobs();
      json body = kChat;
      body["cancel_on_disconnect"] = wished;
      body["stream"] = stream;
      EXPECT_EQ(leaver.post("/v1/chat/completions", body).status, 0);
      const bool cancelled = eventually([this] { return in_state("cancelled") == 1; },
                                        std::chrono::milliseconds(wished ? 5'000 : 700));
      EXPECT_EQ(cancelled, wished) << "stream " << stream;
      EXPECT_EQ(in_state("queued"), wished ? 0 : 1);
    }
  }
  json body = kChat;
  body["cancel_on_disconnect"] = true;
  Client http = client(*service);
  EXPECT_EQ(http.post("/v1/chat/completions", body.dump(), {"Prefer: respond-async"}).status, 400);
  EXPECT_EQ(http.post("/v1/jobs", body).json["error"]["code"], "unknown_field");
  start_worker();
  EXPECT_EQ(http.post("/v1/chat/completions", body).status, 200);
}

// A proxy breaks the connection off, and the client sends the request again: with its key, or as SDKs do.
TEST_F(ProducerCompletions, WhoLeftAndComesBackIsDoneAnew) {
  auto service = make_service();
  Client leaver = client(*service);
  leaver.leave_after(std::chrono::milliseconds(300));
  json body = kChat;
  body["cancel_on_disconnect"] = true;
  const std::vector<std::string> key = {"Idempotency-Key: left"};
  EXPECT_EQ(leaver.post("/v1/chat/completions", body.dump(), key).status, 0);
  EXPECT_TRUE(eventually([this] { return in_state("cancelled") == 1; }));
  EXPECT_EQ(leaver.post("/v1/chat/completions", body.dump(), {"X-Stainless-Retry-Count: 0"}).status, 0);
  EXPECT_TRUE(eventually([this] { return in_state("cancelled") == 2; }));
  EXPECT_EQ(number("SELECT COUNT(*) FROM idempotency_key"), 0);
  start_worker();
  Client http = client(*service);
  const Reply again = http.post("/v1/chat/completions", body.dump(), key);
  EXPECT_EQ(again.status, 200) << again.body;
  EXPECT_EQ(http.post("/v1/chat/completions", body.dump(), key).json["id"], again.json["id"]);
  const Reply repeated = http.post("/v1/chat/completions", body.dump(), {"X-Stainless-Retry-Count: 1"});
  EXPECT_EQ(repeated.status, 200) << repeated.body;
  EXPECT_NE(repeated.json["id"], again.json["id"]);
}

TEST_F(ProducerCompletions, ARequestThatIsSentAgainIsDoneOnce) {
  auto service = make_service();
  start_worker();
  Client http = client(*service);
  const std::vector<std::string> key = {"Idempotency-Key: \"one\""};
  const Reply first = http.post("/v1/chat/completions", kChat.dump(), key);
  ASSERT_EQ(first.status, 200) << first.body;
  EXPECT_EQ(http.post("/v1/chat/completions", kChat.dump(2), {"Idempotency-Key: one"}).json, first.json);
  // The same key for another body, another route, another tenant.
  json other = kChat;
  other["temperature"] = 0;
  const Reply reused = http.post("/v1/chat/completions", other.dump(), key);
  EXPECT_EQ(reused.status, 422);
  EXPECT_EQ(reused.json["error"]["code"], "idempotency_key_reused");
  EXPECT_EQ(http.post("/v1/jobs", json({{"prompt", "x"}}).dump(), key).status, 422);
  const Reply foreign = client(*service, kOtherKey).post("/v1/chat/completions", kChat.dump(), key);
  EXPECT_EQ(foreign.status, 200);
  EXPECT_NE(foreign.json["id"], first.json["id"]);
  EXPECT_EQ(http.post("/v1/jobs", json({{"prompt", "x"}}).dump(), {"Idempotency-Key: \"x"}).status, 400);
  // An SDK's own repetition, and two requests of it that happen to be equal.
  const Reply tried = http.post("/v1/chat/completions", kChat.dump(), {"X-Stainless-Retry-Count: 0"});
  const Reply again = http.post("/v1/chat/completions", kChat.dump(), {"X-Stainless-Retry-Count: 1"});
  const Reply equal = http.post("/v1/chat/completions", kChat.dump(), {"X-Stainless-Retry-Count: 0"});
  EXPECT_EQ(again.json["id"], tried.json["id"]);
  EXPECT_NE(tried.json["id"], first.json["id"]);
  EXPECT_NE(equal.json["id"], tried.json["id"]);
  EXPECT_EQ(number("SELECT COUNT(*) FROM job"), 4);
  // A batch's jobs come as they are now, but for their results.
  const auto submit = [&] { return http.post("/v1/jobs", prompts(2).dump(), {"Idempotency-Key: two"}); };
  const json batch = submit().json;
  EXPECT_TRUE(eventually([&] { return number("SELECT COUNT(*) FROM job WHERE state = 'succeeded'") == 6; }));
  const Reply repeated = submit();
  EXPECT_EQ(repeated.status, 202);
  EXPECT_EQ(repeated.json["batch_id"], batch["batch_id"]);
  ASSERT_EQ(repeated.json["data"].size(), 2U) << repeated.body;
  for (std::size_t i = 0; i < 2; ++i) {
    const json& job = repeated.json["data"][i];
    EXPECT_EQ(job["id"], batch["data"][i]["id"]);
    EXPECT_EQ(job["status"], "succeeded");
    EXPECT_EQ(job["result"], nullptr);
  }
}

TEST_F(ProducerCompletions, EqualRequestsAtOnceOnTwoProducersMakeOneJob) {
  auto one = make_service();
  auto two = make_service();
  start_worker();
  std::vector<std::future<Reply>> chats;
  std::vector<std::future<Reply>> batches;
  const json batch = prompts(3);
  for (int i = 0; i < 50; ++i) {
    const Service& service = i % 2 == 0 ? *one : *two;
    chats.push_back(std::async(std::launch::async, [this, &service] {
      return client(service).post("/v1/chat/completions", kChat.dump(), {"Idempotency-Key: chat"});
    }));
    if (i % 5 != 0) continue;
    batches.push_back(std::async(std::launch::async, [this, &service, &batch] {
      return client(service).post("/v1/jobs", batch.dump(), {"Idempotency-Key: batch"});
    }));
  }
  std::set<std::string> ids;
  for (auto& chat : chats) {
    const Reply reply = chat.get();
    EXPECT_EQ(reply.status, 200) << reply.body;
    ids.insert(reply.json.value("id", ""));
  }
  EXPECT_EQ(ids.size(), 1U);
  std::set<std::string> batch_ids;
  std::set<std::string> job_ids;
  for (auto& submitted : batches) {
    const Reply reply = submitted.get();
    EXPECT_EQ(reply.status, 202) << reply.body;
    batch_ids.insert(reply.json.value("batch_id", ""));
    for (const json& job : reply.json["data"]) job_ids.insert(job["id"]);
  }
  EXPECT_EQ(batch_ids.size(), 1U);
  EXPECT_EQ(job_ids.size(), 3U);
  EXPECT_EQ(number("SELECT COUNT(*) FROM job"), 4);
}

}  // namespace
}  // namespace sluice::producer
