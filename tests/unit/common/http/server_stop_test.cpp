// Stopping: what runs is finished, what waits is cut when the grace is over.
#include <gtest/gtest.h>

#include <future>

#include "server_fixture.h"

namespace sluice::http {
namespace {

using namespace std::chrono_literals;

class ServerStop : public ServerFixture {};

TEST_F(ServerStop, RunningRequestsFinishAndIdleConnectionsClose) {
  config_.stop_grace = 30s;
  start();
  const std::uint16_t port = server_->port();
  RawClient idle = connect();
  idle.send(kHello);
  ASSERT_TRUE(idle.receive());
  RawClient running = connect();
  running.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n" + std::string(kHello));
  ASSERT_TRUE(waiting_.wait_for(1));

  auto stopped = std::async(std::launch::async, [this] { server_->stop(); });
  EXPECT_TRUE(idle.wait_closed());
  EXPECT_EQ(stopped.wait_for(0s), std::future_status::timeout);
  finish_waits();
  const auto response = running.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "waited");
  EXPECT_EQ(response->headers.at("connection"), "close");
  running.close();
  ASSERT_EQ(stopped.wait_for(10s), std::future_status::ready);
  EXPECT_FALSE(RawClient(port).connected());
  EXPECT_EQ(handled_, 2);  // The request behind the last answer was not begun.
  EXPECT_EQ(metric("sluice_http_connections"), 0);
}

TEST_F(ServerStop, WhatOutlivesTheGraceIsCut) {
  config_.stop_grace = 50ms;
  start();
  RawClient running = connect();
  running.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(waiting_.wait_for(1));
  RawClient half = connect();
  half.send("GET /hel");
  server_->stop();
  EXPECT_TRUE(left_.wait_for(1));
  std::string rest;
  EXPECT_TRUE(running.wait_closed(&rest));
  EXPECT_EQ(rest, "");
  EXPECT_TRUE(half.wait_closed());
}

TEST_F(ServerStop, AnswersAfterTheEndAreDropped) {
  config_.stop_grace = 0ms;
  start();
  RawClient running = connect();
  running.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(waiting_.wait_for(1));
  server_->stop();
  server_.reset();
  finish_waits();  // Must not touch what is gone (the sanitizers look).
}

TEST_F(ServerStop, StopMayBeCalledTwiceOrBeforeStart) {
  start();
  server_->stop();
  server_->stop();
  metrics::Registry registry;
  Server never(config_, Router(), registry, clock_, rng_);
  never.stop();
}

}  // namespace
}  // namespace sluice::http
