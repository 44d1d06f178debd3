#include "callback/sender/curl_sender.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/unit/callback/sender/sending.h"

namespace sluice::callback {
namespace {

using namespace std::chrono_literals;
using ::sluice::testing::Receiver;

class CurlSending : public testing::Sending {};

TEST_F(CurlSending, PostsTheBytesAndHeadersItIsGiven) {
  Receiver receiver(
      [](const Receiver::Request&) { return Receiver::Reply{.status = 201, .body = "thanks"}; });
  start(local());
  const std::string body("{\"a\":\"\xc3\xa4\"}\0x", 13);
  const AttemptReport done =
      post(receiver.url("/hook?a=b"), body, {"Content-Type: application/json", "webhook-id: evt_1"}).get();
  EXPECT_EQ(done.failure, AttemptFailure::kNone);
  EXPECT_EQ(done.status, 201);
  EXPECT_EQ(done.response, "thanks");
  EXPECT_EQ(done.error, "");
  ASSERT_EQ(receiver.requests().size(), 1u);
  const Receiver::Request request = receiver.requests().front();
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.target, "/hook?a=b");
  EXPECT_EQ(request.body, body);
  EXPECT_EQ(request.headers.at("content-type"), "application/json");
  EXPECT_EQ(request.headers.at("webhook-id"), "evt_1");
  EXPECT_EQ(request.headers.at("user-agent"), "sluice/" SLUICE_VERSION);
  EXPECT_EQ(request.headers.count("expect"), 0u);
  EXPECT_EQ(request.headers.count("accept-encoding"), 0u);
}

TEST_F(CurlSending, ALargeBodyGoesWithoutAskingFirst) {
  Receiver receiver;
  start(local());
  const std::string body(2'000'000, 'b');
  EXPECT_EQ(post(receiver.url(), body).get().status, 200);
  EXPECT_EQ(receiver.requests().front().body, body);
  EXPECT_EQ(receiver.requests().front().headers.count("expect"), 0u);
}

TEST_F(CurlSending, ReportsEveryStatus) {
  Receiver receiver([](const Receiver::Request& request) {
    return Receiver::Reply{
        .status = std::atoi(request.target.c_str() + 1), .headers = "Retry-After: 7\r\n", .body = "b"};
  });
  start(local());
  for (const int status : {200, 400, 404, 410, 429, 500, 503}) {
    const AttemptReport done = report(receiver.url("/" + std::to_string(status)));
    EXPECT_EQ(done.status, status);
    EXPECT_EQ(done.failure, AttemptFailure::kNone);
    EXPECT_EQ(done.retry_after, " 7");
    EXPECT_EQ(done.error, status < 300 ? "" : "HTTP status " + std::to_string(status));
  }
}

TEST_F(CurlSending, FollowsNoRedirect) {
  Receiver target;
  Receiver receiver([&](const Receiver::Request&) {
    return Receiver::Reply{.status = 307, .headers = "Location: " + target.url() + "\r\n"};
  });
  start(local());
  EXPECT_EQ(report(receiver.url()).status, 307);
  EXPECT_EQ(target.connections(), 0);
}

TEST_F(CurlSending, StopsReadingALargeAnswerAndGoesByItsStatus) {
  Receiver receiver([](const Receiver::Request& request) {
    return Receiver::Reply{.status = request.number == 1 ? 200 : 500, .body = "start", .endless = true};
  });
  start(local());
  const AttemptReport good = report(receiver.url());
  EXPECT_TRUE(is_success(good));
  EXPECT_EQ(good.response.size(), 4096u);
  EXPECT_EQ(good.response.substr(0, 6), "startx");
  const AttemptReport bad = report(receiver.url());
  EXPECT_EQ(bad.failure, AttemptFailure::kNone);
  EXPECT_EQ(bad.status, 500);
}

TEST_F(CurlSending, ASilentReceiverTimesOut) {
  Receiver receiver([](const Receiver::Request&) { return Receiver::Reply{.delay = 1h}; });
  SenderConfig config = local();
  config.total_timeout = 200ms;
  start(config);
  const AttemptReport done = report(receiver.url());
  EXPECT_EQ(done.failure, AttemptFailure::kTimeout);
  EXPECT_FALSE(done.status);
  EXPECT_GE(done.duration, 200ms);
  EXPECT_LT(done.duration, 5s);
}

TEST_F(CurlSending, AnAnswerThatNeverEndsIsNoSuccess) {
  Receiver receiver([](const Receiver::Request&) { return Receiver::Reply{.body = "half", .hang = true}; });
  SenderConfig config = local();
  config.total_timeout = 1s;
  start(config);
  const AttemptReport done = report(receiver.url());
  EXPECT_EQ(done.failure, AttemptFailure::kTimeout);
  EXPECT_EQ(done.status, 200);
  EXPECT_EQ(done.response, "half");
  EXPECT_FALSE(is_success(done));
}

TEST_F(CurlSending, NobodyListening) {
  int port = 0;
  {
    Receiver gone;
    port = gone.port();
  }
  start(local());
  EXPECT_EQ(report("http://127.0.0.1:" + std::to_string(port) + "/").failure, AttemptFailure::kConnect);
}

TEST_F(CurlSending, WhatIsNoHttpAnswer) {
  Receiver receiver([](const Receiver::Request& request) {
    Receiver::Reply reply;
    if (request.target == "/close") reply.raw = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    if (request.target == "/old") reply.raw = "just text\n";
    if (request.target == "/long") reply.headers = "X: " + std::string(70'000, 'x') + "\r\n";
    if (request.target == "/many") {
      for (int i = 0; i < 8000; ++i) reply.headers += "X-" + std::to_string(i) + ": value\r\n";
    }
    return reply;
  });
  start(local());
  EXPECT_EQ(report(receiver.url("/close")).failure, AttemptFailure::kConnect);
  for (const char* target : {"/old", "/long", "/many"}) {
    const AttemptReport done = report(receiver.url(target));
    EXPECT_EQ(done.failure, AttemptFailure::kProtocol) << target;
    EXPECT_FALSE(is_success(done)) << target;
  }
}

TEST_F(CurlSending, OtherSchemesAndBrokenUrlsCannotBeSent) {
  start(local());
  for (const char* url : {"ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1:1/",
                          "dict://127.0.0.1/", "", "nonsense", "http://", "http://user:pw@127.0.0.1/"}) {
    const AttemptReport done = report(url);
    EXPECT_EQ(done.failure, AttemptFailure::kUnsendable) << url;
    EXPECT_NE(done.error, "") << url;
  }
}

TEST_F(CurlSending, ProxiesOfTheEnvironmentAreIgnored) {
  Receiver proxy;
  Receiver receiver;
  for (const char* name : {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}) {
    setenv(name, proxy.endpoint().c_str(), 1);
  }
  start(local());
  EXPECT_EQ(report(receiver.url()).status, 200);
  for (const char* name : {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}) unsetenv(name);
  EXPECT_EQ(proxy.connections(), 0);
  ASSERT_EQ(receiver.requests().size(), 1u);
}

TEST_F(CurlSending, NetrcIsIgnored) {
  const std::string home = ::testing::TempDir();
  std::ofstream(home + "/.netrc") << "default login me password hidden\n";
  const char* before = std::getenv("HOME");
  const std::string kept = before == nullptr ? "" : before;
  setenv("HOME", home.c_str(), 1);
  Receiver receiver;
  start(local());
  EXPECT_EQ(report(receiver.url()).status, 200);
  setenv("HOME", kept.c_str(), 1);
  std::remove((home + "/.netrc").c_str());
  EXPECT_EQ(receiver.requests().front().headers.count("authorization"), 0u);
}

TEST_F(CurlSending, ManyAtOnceAndASlowOneDelaysNoOther) {
  Receiver slow([](const Receiver::Request&) { return Receiver::Reply{.delay = 1h}; });
  Receiver quick;
  start(local());
  std::vector<std::future<AttemptReport>> stuck;
  for (int i = 0; i < 20; ++i) stuck.push_back(post(slow.url()));
  ASSERT_TRUE(slow.wait_for(20));
  std::vector<std::future<AttemptReport>> done;
  for (int i = 0; i < 100; ++i) done.push_back(post(quick.url()));
  for (auto& one : done) EXPECT_EQ(one.get().status, 200);
  sender_->stop();
  for (auto& one : stuck) EXPECT_EQ(one.get().failure, AttemptFailure::kCancelled);
}

TEST_F(CurlSending, StopCancelsAndIsHarmlessTwice) {
  Receiver slow([](const Receiver::Request&) { return Receiver::Reply{.delay = 1h}; });
  start(local());
  auto stuck = post(slow.url());
  ASSERT_TRUE(slow.wait_for(1));
  sender_->stop();
  sender_->stop();
  EXPECT_EQ(stuck.get().failure, AttemptFailure::kCancelled);
  EXPECT_EQ(report(slow.url()).failure, AttemptFailure::kCancelled);
}

TEST_F(CurlSending, ASenderThatNeverStartedCancels) {
  sender_ = std::make_unique<CurlSender>(local(), resolver_, clock_, log_);
  auto waiting = post("http://127.0.0.1:1/");
  sender_->stop();
  EXPECT_EQ(waiting.get().failure, AttemptFailure::kCancelled);
}

}  // namespace
}  // namespace sluice::callback
