// Limits of time, number and memory.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>

#include "common/base/signals.h"
#include "server_fixture.h"

namespace sluice::http {
namespace {

using namespace std::chrono_literals;

class ServerLimits : public ServerFixture {};

TEST_F(ServerLimits, AHeaderThatTricklesInIsEndedByTheClock) {
  config_.header_timeout = 300ms;
  start();
  RawClient client = connect();
  // poll() without descriptors paces the attacker; nothing waits for it.
  const std::string text(kHello);
  std::size_t sent = 0;
  const auto began = clock_.steady_now();
  while (sent < text.size() - 1 && clock_.steady_now() - began < 250ms) {
    ASSERT_TRUE(client.send(text.substr(sent++, 1)));
    ::poll(nullptr, 0, 20);
  }
  const auto response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 408);
  client.shut_down_sending();
  EXPECT_TRUE(client.wait_closed());
  // Trickling didn't stretch the limit.
  EXPECT_LT(clock_.steady_now() - began, 5s);
  EXPECT_EQ(handled_, 0);
}

TEST_F(ServerLimits, ABodyThatNeverComesIsEndedByTheClock) {
  config_.body_timeout = 100ms;
  start();
  RawClient client = connect();
  client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nab");
  const auto response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 408);
  EXPECT_EQ(handled_, 0);
}

TEST_F(ServerLimits, AnIdleConnectionIsClosedWithoutAWord) {
  config_.idle_timeout = 100ms;
  start();
  RawClient fresh = connect();
  RawClient used = connect();
  used.send(kHello);
  ASSERT_TRUE(used.receive());
  std::string rest;
  EXPECT_TRUE(used.wait_closed(&rest));
  EXPECT_EQ(rest, "");
  EXPECT_TRUE(fresh.wait_closed(&rest));
  EXPECT_EQ(rest, "");
}

TEST_F(ServerLimits, ARunningRequestIsNotIdle) {
  config_.idle_timeout = 50ms;
  config_.header_timeout = 50ms;
  config_.body_timeout = 50ms;
  config_.write_timeout = 50ms;
  start();
  RawClient waits = connect();
  waits.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(waiting_.wait_for(1));
  // Another connection that is idle from now on measures the time.
  RawClient measure = connect();
  ASSERT_TRUE(measure.wait_closed());
  finish_waits();
  EXPECT_TRUE(waits.receive());
}

TEST_F(ServerLimits, ASlowReaderIsCutAndHoldsUpNobody) {
  config_.write_timeout = 200ms;
  start();
  // 30 MB of answers are more than the kernel holds for anybody; nothing of them is read.
  constexpr std::size_t kRequests = 500;
  RawClient slow(server_->port(), 4096);
  std::string requests;
  for (std::size_t i = 0; i < kRequests; ++i) requests += "GET /medium HTTP/1.1\r\nHost: t\r\n\r\n";
  ASSERT_TRUE(slow.send(requests));
  while (metric("sluice_http_refused_total{reason=\"write_timeout\"}") < 1) {
    ASSERT_EQ(ask(std::string(kHello)).body, "hello");
  }
  // What the kernel holds still comes, then the end.
  std::string rest;
  EXPECT_TRUE(slow.wait_closed(&rest));
  EXPECT_LT(rest.size(), kRequests * 60'000);
}

TEST_F(ServerLimits, ALargeAnswerReachesAPatientReader) {
  start();
  RawClient client(server_->port(), 4096);
  client.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n" + std::string(kHello));
  const auto large = client.receive();
  ASSERT_TRUE(large);
  EXPECT_EQ(large->body, std::string(8 << 20, 'x'));
  EXPECT_TRUE(client.receive());
}

TEST_F(ServerLimits, ConnectionsOverTheTotalAreTurnedAway) {
  config_.connections_max = 3;
  start();
  std::vector<RawClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(connect());
    clients.back().send(kHello);
    ASSERT_TRUE(clients.back().receive());
  }
  RawClient extra = connect();
  const auto response = extra.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 503);
  EXPECT_TRUE(extra.wait_closed());
  clients.pop_back();
  // Room again, as soon as the server has noticed.
  while (metric("sluice_http_connections") > 2) ::poll(nullptr, 0, 5);
  EXPECT_EQ(ask(std::string(kHello)).body, "hello");
}

TEST_F(ServerLimits, ConnectionsOverTheAddressLimitAreTurnedAway) {
  config_.connections_per_address_max = 2;
  start();
  std::vector<RawClient> clients;
  for (int i = 0; i < 2; ++i) {
    clients.push_back(connect());
    clients.back().send(kHello);
    ASSERT_TRUE(clients.back().receive());
  }
  RawClient extra = connect();
  ASSERT_TRUE(extra.wait_closed());
  EXPECT_EQ(metric("sluice_http_refused_total{reason=\"too_many_connections_of_address\"}"), 1);
}

TEST_F(ServerLimits, AFullStageIs503WithRetryAfterAndHealthStillAnswers) {
  config_.handler_threads = 1;
  config_.handler_queue_max = 1;
  Signal entered;
  Signal release;
  Router router;
  Route blocks;
  blocks.handler = [&](Request, Responder responder) {
    entered.raise();
    release.wait_for(1);
    responder.send(Response::text(200, "done"));
  };
  router.add(Method::kGet, "/block", std::move(blocks));
  add_service_endpoints(router, registry_, {});
  Server server(config_, std::move(router), registry_, clock_, rng_);
  ASSERT_TRUE(server.start());
  const std::string request = "GET /block HTTP/1.1\r\nHost: t\r\n\r\n";
  RawClient running(server.port());
  running.send(request);
  ASSERT_TRUE(entered.wait_for(1));
  RawClient waiting(server.port());
  waiting.send(request);
  while (metric("sluice_http_handler_queue") < 1) ::poll(nullptr, 0, 5);

  RawClient extra(server.port());
  extra.send(request);
  const auto refused = extra.receive();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 503);
  EXPECT_EQ(refused->headers.at("retry-after"), "1");
  extra.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
  const auto health = extra.receive();
  ASSERT_TRUE(health);
  EXPECT_EQ(health->status, 200);

  release.raise();
  EXPECT_TRUE(running.receive());
  EXPECT_TRUE(waiting.receive());
  server.stop();
}

TEST_F(ServerLimits, BodiesTogetherAreBounded) {
  config_.bodies_bytes_max = 1500;
  start();
  RawClient first = connect();
  first.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(first.receive_text("HTTP/1.1 100 Continue\r\n\r\n"));
  first.send(std::string(999, 'a'));
  while (metric("sluice_http_body_bytes") < 999) ::poll(nullptr, 0, 5);
  const std::string whole =
      "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n" + std::string(1000, 'b');
  const RawResponse refused = ask(whole);
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  first.send("a");
  const auto done = first.receive();
  ASSERT_TRUE(done);
  EXPECT_EQ(done->status, 200);
  EXPECT_EQ(ask(whole).status, 200);
}

TEST_F(ServerLimits, AConnectionServesSoManyRequestsAndNoMore) {
  config_.requests_per_connection_max = 2;
  start();
  RawClient client = connect();
  client.send(std::string(kHello) + std::string(kHello) + std::string(kHello));
  ASSERT_TRUE(client.receive());
  const auto last = client.receive();
  ASSERT_TRUE(last);
  EXPECT_EQ(last->headers.at("connection"), "close");
  client.shut_down_sending();
  EXPECT_TRUE(client.wait_closed());
  EXPECT_EQ(handled_, 2);
}

TEST_F(ServerLimits, FiveThousandIdleConnectionsOfOneAddressSlowNobodyDown) {
  constexpr int kIdle = 5000;
  if (raise_open_files_limit() < 2 * kIdle + 200) GTEST_SKIP() << "the hard limit of open files is too low";
  start();
  std::vector<RawClient> idle;
  idle.reserve(kIdle);
  for (int i = 0; i < kIdle; ++i) {
    idle.push_back(connect());
    ASSERT_TRUE(idle.back().connected()) << i;
    // Some have asked before, some are in the middle of a header.
    if (i % 3 == 1) {
      idle.back().send(kHello);
      ASSERT_TRUE(idle.back().receive());
    } else if (i % 3 == 2) {
      idle.back().send("GET /hel");
    }
  }
  while (metric("sluice_http_connections") < kIdle) ::poll(nullptr, 0, 5);
  const auto began = clock_.steady_now();
  EXPECT_EQ(ask(std::string(kHello)).body, "hello");
  EXPECT_LT(clock_.steady_now() - began, 1s);
  // Every one of them is still good for a request.
  idle[0].send(kHello);
  EXPECT_TRUE(idle[0].receive());
  idle[2].send("lo HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_TRUE(idle[2].receive());
}

TEST_F(ServerLimits, RunningOutOfDescriptorsPausesAcceptingAndPasses) {
  start();
  RawClient before = connect();
  before.send(kHello);
  ASSERT_TRUE(before.receive());
  const auto pauses = [&] { return metric("sluice_http_refused_total{reason=\"accept_paused\"}"); };
  // Also lets the sanitizer do what it needs a descriptor for at a first scrape.
  ASSERT_EQ(pauses(), 0);

  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  rlimit low = old;
  low.rlim_cur = 256;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  std::vector<int> fill;
  for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) fill.push_back(fd);
  ASSERT_FALSE(fill.empty());
  ::close(fill.back());
  fill.pop_back();
  RawClient pressed = connect();  // Takes the last descriptor; the server finds none for its end.
  ASSERT_TRUE(pressed.connected());
  pressed.send(kHello);
  while (pauses() < 2) ::poll(nullptr, 0, 5);
  before.send(kHello);  // Who is in is served.
  EXPECT_TRUE(before.receive());

  for (const int fd : fill) ::close(fd);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  EXPECT_TRUE(pressed.receive());
}

}  // namespace
}  // namespace sluice::http
