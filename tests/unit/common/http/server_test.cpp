// What the server does for well-behaved clients.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <nlohmann/json.hpp>
#include <set>

#include "server_fixture.h"

namespace sluice::http {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ServerTest : public ServerFixture {
 protected:
  void SetUp() override { start(); }
};

std::string post(const std::string& path, const std::string& body, const std::string& fields = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         fields + "\r\n" + body;
}

TEST_F(ServerTest, AnswersAndKeepsTheConnection) {
  RawClient client = connect();
  std::set<std::string> ids;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.send(kHello));
    const auto response = client.receive();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->body, "hello");
    EXPECT_EQ(response->headers.count("connection"), 0u);
    EXPECT_EQ(response->headers.at("date").size(), 29u);
    ids.insert(response->headers.at("x-request-id"));
  }
  EXPECT_EQ(ids.size(), 3u);
  EXPECT_EQ(metric("sluice_http_connections_accepted_total"), 1);
}

TEST_F(ServerTest, ThreeRequestsInOneWriteAreAnsweredInOrder) {
  RawClient client = connect();
  client.send("GET /items/a HTTP/1.1\r\nHost: t\r\n\r\n" + post("/echo", "second") +
              "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: "
              "chunked\r\n\r\n3\r\nthi\r\n2;x=y\r\nrd\r\n0\r\nT: v\r\n\r\n" +
              "GET /items/d HTTP/1.1\r\nHost: t\r\n\r\n");
  for (const char* expected : {"a", "second", "third", "d"}) {
    const auto response = client.receive();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->body, expected);
  }
}

TEST_F(ServerTest, AThousandPipelinedRequestsAreAnsweredInOrder) {
  RawClient client = connect();
  std::string all;
  for (int i = 0; i < 1000; ++i) {
    all += "GET " +
           std::string(i % 3 == 0   ? "/absent"
                       : i % 3 == 1 ? "/inline"
                                    : "/items/" + std::to_string(i)) +
           " HTTP/1.1\r\nHost: t\r\n\r\n";
  }
  ASSERT_TRUE(client.send(all));
  for (int i = 0; i < 1000; ++i) {
    const auto response = client.receive();
    ASSERT_TRUE(response) << i;
    ASSERT_EQ(response->status, i % 3 == 0 ? 404 : 200) << i;
    if (i % 3 == 2) {
      ASSERT_EQ(response->body, std::to_string(i));
    }
  }
}

TEST_F(ServerTest, RequestsMayComeByteByByte) {
  RawClient client = connect();
  const std::string text =
      "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" +
      post("/echo", "x") + "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
  for (const char c : text) ASSERT_TRUE(client.send({&c, 1}));
  for (const char* expected : {"abc", "x", ""}) {
    const auto response = client.receive();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->body, expected);
  }
}

TEST_F(ServerTest, HeadIsGetWithoutTheBody) {
  RawClient client = connect();
  client.send("HEAD /hello HTTP/1.1\r\nHost: t\r\n\r\n");
  const auto head = client.receive(true);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 200);
  EXPECT_EQ(head->headers.at("content-length"), "5");
  client.send(kHello);  // Nothing of a body may stand before this answer.
  const auto next = client.receive();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->body, "hello");
}

TEST_F(ServerTest, OptionsSayWhatAPathKnows) {
  EXPECT_EQ(ask("OPTIONS /hello HTTP/1.1\r\nHost: t\r\n\r\n").headers["allow"], "GET, HEAD, OPTIONS");
  EXPECT_EQ(ask("OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n").status, 204);
  EXPECT_EQ(ask("OPTIONS /absent HTTP/1.1\r\nHost: t\r\n\r\n").status, 404);
}

TEST_F(ServerTest, WrongPathAndWrongMethodAreTold) {
  RawClient client = connect();
  client.send("GET /absent HTTP/1.1\r\nHost: t\r\n\r\nDELETE /hello HTTP/1.1\r\nHost: t\r\n\r\n");
  const auto absent = client.receive();
  ASSERT_TRUE(absent);
  EXPECT_EQ(absent->status, 404);
  const nlohmann::json body = nlohmann::json::parse(absent->body);
  EXPECT_EQ(body["error"]["code"], "route_not_found");
  EXPECT_EQ(body["status"], 404);
  const auto wrong = client.receive();
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->status, 405);
  EXPECT_EQ(wrong->headers.at("allow"), "GET, HEAD, OPTIONS");
}

TEST_F(ServerTest, ContinueIsSentOnlyWhenTheBodyIsWanted) {
  RawClient client = connect();
  client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(client.receive_text("HTTP/1.1 100 Continue\r\n\r\n"));
  client.send("abc");
  const auto response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "abc");

  client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n");
  const auto refused = client.receive();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 413);
  EXPECT_EQ(refused->headers.at("connection"), "close");
}

TEST_F(ServerTest, NoContinueIsSentWhenTheBodyIsThereAlready) {
  RawClient client = connect();
  client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc");
  const auto response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
}

TEST_F(ServerTest, Http10IsAnsweredAndClosed) {
  RawClient client = connect();
  client.send("GET /hello HTTP/1.0\r\n\r\n");
  const auto response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "hello");
  EXPECT_EQ(response->headers.at("connection"), "close");
  EXPECT_TRUE(client.wait_closed());
}

TEST_F(ServerTest, ConnectionCloseIsObeyed) {
  RawClient client = connect();
  client.send("GET /hello HTTP/1.1\r\nHost: t\r\nConnection: foo, Close\r\n\r\n" + std::string(kHello));
  EXPECT_TRUE(client.receive());
  std::string rest;
  EXPECT_TRUE(client.wait_closed(&rest));
  EXPECT_EQ(rest, "");
  EXPECT_EQ(handled_, 1);
}

TEST_F(ServerTest, AClientThatShutsDownItsSideStillGetsItsAnswers) {
  RawClient client = connect();
  client.send(std::string(kHello) + std::string(kHello));
  client.shut_down_sending();
  EXPECT_TRUE(client.receive());
  EXPECT_TRUE(client.receive());
  EXPECT_TRUE(client.wait_closed());
}

TEST_F(ServerTest, TheAbsoluteFormOfATargetIsTaken) {
  EXPECT_EQ(ask("GET http://other:1/items/x?y=1 HTTP/1.1\r\nHost: t\r\n\r\n").body, "x");
}

TEST_F(ServerTest, AnEmptyLineBetweenRequestsIsSkipped) {
  RawClient client = connect();
  client.send(post("/echo", "a") + "\r\n" + post("/echo", "b"));
  ASSERT_TRUE(client.receive());
  const auto second = client.receive();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->body, "b");
}

TEST_F(ServerTest, StrangersAreRefusedBeforeTheirBodyIsRead) {
  RawClient client = connect();
  // The body never comes, and the answer does.
  client.send("POST /private HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n");
  const auto response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 401);
  EXPECT_TRUE(client.wait_closed());
  EXPECT_EQ(handled_, 0);
  // Not even that the body is too large is told to a stranger.
  EXPECT_EQ(ask("POST /private HTTP/1.1\r\nHost: t\r\nContent-Length: 500000\r\n\r\n").status, 401);
  EXPECT_EQ(ask("POST /private HTTP/1.1\r\nHost: t\r\nX-Key: open\r\nContent-Length: 500000\r\n\r\n").status,
            413);
  EXPECT_EQ(ask(post("/private", "12345", "X-Key: open\r\n")).body, "12345");
}

TEST_F(ServerTest, WhatTheGateAddsIsInEveryAnswerAndOverridesNothing) {
  const RawResponse answer = ask(post("/private", "12345", "X-Key: open\r\n"));
  EXPECT_EQ(answer.headers.at("x-left"), "4");
  EXPECT_NE(answer.headers.at("content-type"), "text/html");
  const RawResponse too_large =
      ask("POST /private HTTP/1.1\r\nHost: t\r\nX-Key: open\r\nContent-Length: 500000\r\n\r\n");
  EXPECT_EQ(too_large.status, 413);
  EXPECT_EQ(too_large.headers.at("x-left"), "4");
  // The next request on a connection starts without.
  RawClient client = connect();
  client.send(post("/private", "12345", "X-Key: open\r\n"));
  ASSERT_TRUE(client.receive());
  client.send(std::string(kHello));
  const auto next = client.receive();
  ASSERT_TRUE(next);
  EXPECT_FALSE(next->headers.contains("x-left"));
}

TEST_F(ServerTest, AdmissionAnswersForItself) {
  const RawResponse response = ask("GET /refused HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.headers.at("retry-after"), "3");
  EXPECT_EQ(handled_, 0);
}

TEST_F(ServerTest, BodiesNeedTheRoutesMediaType) {
  EXPECT_EQ(ask(post("/json", "{}", "Content-Type: application/json; charset=utf-8\r\n")).status, 200);
  EXPECT_EQ(ask(post("/json", "{}", "Content-Type: APPLICATION/JSON\r\n")).status, 200);
  EXPECT_EQ(ask(post("/json", "{}")).status, 200);
  EXPECT_EQ(ask(post("/json", "{}", "Content-Type: text/plain\r\n")).status, 415);
  EXPECT_EQ(ask(post("/json", "{}", "Content-Encoding: gzip\r\n")).status, 415);
  EXPECT_EQ(ask("POST /json HTTP/1.1\r\nHost: t\r\n\r\n").status, 411);
}

TEST_F(ServerTest, ADefectInAHandlerIsA500WithoutDetails) {
  for (const char* path : {"/throw", "/forget"}) {
    const RawResponse response = ask("GET " + std::string(path) + " HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_EQ(response.status, 500) << path;
    EXPECT_EQ(response.body.find("secret"), std::string::npos);
  }
}

TEST_F(ServerTest, FieldsWithLineEndsNeverGetOut) {
  RawClient client = connect();
  client.send("GET /dirty HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
  std::string all;
  ASSERT_TRUE(client.wait_closed(&all));
  EXPECT_EQ(all.find("Injected"), std::string::npos);
  EXPECT_THAT(all, HasSubstr("X-Good: b\r\n"));
  EXPECT_THAT(all, HasSubstr("Content-Length: 0\r\n"));
  EXPECT_EQ(metric("sluice_http_response_fields_left_out_total"), 2);
}

TEST_F(ServerTest, AnAnswerMayComeLaterFromAnotherThread) {
  RawClient client = connect();
  client.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n" + std::string(kHello));
  ASSERT_TRUE(waiting_.wait_for(1));
  finish_waits();
  const auto waited = client.receive();
  ASSERT_TRUE(waited);
  EXPECT_EQ(waited->body, "waited");
  const auto next = client.receive();  // Was sent while the first was in work.
  ASSERT_TRUE(next);
  EXPECT_EQ(next->body, "hello");
}

TEST_F(ServerTest, LongPollsHoldNoThread) {
  std::vector<RawClient> clients;
  for (int i = 0; i < 50; ++i) {  // With 4 handler threads.
    clients.push_back(connect());
    clients.back().send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n");
  }
  ASSERT_TRUE(waiting_.wait_for(50));
  EXPECT_EQ(ask(std::string(kHello)).body, "hello");
  finish_waits();
  for (RawClient& client : clients) EXPECT_TRUE(client.receive());
}

TEST_F(ServerTest, AClientThatLeavesALongPollIsNoticed) {
  RawClient leaves = connect();
  RawClient resets = connect();
  for (RawClient* client : {&leaves, &resets}) client->send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(waiting_.wait_for(2));
  {
    std::lock_guard lock(waits_mutex_);
    for (const Responder& responder : waits_) EXPECT_FALSE(responder.cancelled());
  }
  leaves.close();
  EXPECT_TRUE(left_.wait_for(1));
  resets.reset();
  EXPECT_TRUE(left_.wait_for(2));
  {
    std::lock_guard lock(waits_mutex_);
    for (const Responder& responder : waits_) EXPECT_TRUE(responder.cancelled());
    // The end of input alone says nothing about reading.
    const auto gone =
        std::count_if(waits_.begin(), waits_.end(), [](const Responder& r) { return r.gone(); });
    EXPECT_EQ(gone, 1);
  }
  EXPECT_EQ(metric("sluice_http_clients_left_total"), 2);
}

TEST_F(ServerTest, ServiceEndpointsAnswer) {
  EXPECT_EQ(ask("GET /health HTTP/1.1\r\nHost: t\r\n\r\n").body, R"({"status":"ok"})");
  const RawResponse ready = ask("GET /ready HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(ready.status, 200);
  const nlohmann::json checks = nlohmann::json::parse(ready.body)["checks"];
  EXPECT_EQ(checks["good"]["ok"], true);
  EXPECT_EQ(checks["optional"]["error"], "down");
  // A client may have its answer before the server has counted it.
  while (metric("sluice_http_requests_total{method=\"GET\",route=\"/health\",status=\"2xx\"}") < 1) {
    ::poll(nullptr, 0, 2);
  }
  EXPECT_THAT(ask("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n").body,
              HasSubstr("sluice_http_requests_total{method=\"GET\",route=\"/health\",status=\"2xx\"} 1\n"));
}

TEST_F(ServerTest, EveryRequestIsLoggedOnceByItsRoute) {
  RawClient client = connect();
  client.send("GET /items/secret-id?key=secret HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(client.receive());
  client.send("nonsense\r\n");
  ASSERT_TRUE(client.receive());
  ASSERT_TRUE(client.wait_closed());
  std::lock_guard lock(log_mutex_);
  EXPECT_THAT(log_, ElementsAre("GET /items/{id} 200 ", "- - 400 bad_request_line"));
}

TEST_F(ServerTest, TheSamePortCannotBeTakenTwice) {
  ServerConfig taken = config_;
  taken.port = server_->port();
  metrics::Registry registry;
  Server second(taken, Router(), registry, clock_, rng_);
  const Status status = second.start();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kUnavailable);
  taken.address = "no address";
  Server third(taken, Router(), registry, clock_, rng_);
  EXPECT_EQ(third.start().error().code, ErrorCode::kInvalid);
}

}  // namespace
}  // namespace sluice::http
