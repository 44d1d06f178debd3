// Answers in pieces, as clients see them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include "server_fixture.h"

namespace sluice::http {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::HasSubstr;

class ServerStream : public ServerFixture {
 protected:
  static std::string get(const std::string& path, const std::string& version = "1.1") {
    return "GET " + path + " HTTP/" + version + "\r\nHost: t\r\n\r\n";
  }
  double cut(const std::string& reason) {
    return metric("sluice_http_streams_cut_total{reason=\"" + reason + "\"}");
  }
  // Writes on until nobody reads any more.
  static void fill(ResponseStream& out) {
    for (Kept kept = Kept::kKept; kept != Kept::kGone; kept = out.write(std::string(10'000, 'x'))) {
      if (kept == Kept::kFull) ::poll(nullptr, 0, 2);
    }
  }
  void wait_for_end_of_streams() {
    while (metric("sluice_http_streams") > 0) ::poll(nullptr, 0, 2);
  }
};

TEST_F(ServerStream, PiecesArriveAsTheyAreMadeAndTheConnectionStays) {
  start();
  RawClient client = connect();
  client.send(get("/stream") + std::string(kHello));
  ResponseStream& out = stream(0);
  ASSERT_TRUE(client.receive_text("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(out.write("one"), Kept::kKept);
  std::string head;
  while (!head.ends_with("\r\n\r\n")) {
    const auto next = client.receive_bytes(1);
    ASSERT_TRUE(next);
    head += *next;
  }
  EXPECT_THAT(head, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_EQ(head.find("Content-Length"), std::string::npos);
  EXPECT_EQ(client.receive_chunk(), "one");
  out.write("two");
  EXPECT_EQ(client.receive_chunk(), "two");
  out.end();
  EXPECT_EQ(client.receive_chunk(), "");
  const auto next = client.receive();  // What was sent behind it had its turn.
  ASSERT_TRUE(next);
  EXPECT_EQ(next->body, "hello");
  EXPECT_EQ(left_.count(), 0);
  EXPECT_EQ(metric("sluice_http_streams"), 0);
  std::lock_guard lock(log_mutex_);
  EXPECT_THAT(log_, Contains("GET /stream 200 "));
}

TEST_F(ServerStream, AnOldClientReadsUntilTheEnd) {
  start();
  RawClient client = connect();
  client.send(get("/stream", "1.0"));
  stream(0).write("one");
  stream(0).write("two");
  stream(0).end();
  std::string all;
  EXPECT_TRUE(client.wait_closed(&all));
  EXPECT_TRUE(all.ends_with("\r\n\r\nonetwo")) << all;
  EXPECT_THAT(all, HasSubstr("Connection: close\r\n"));
  EXPECT_EQ(all.find("chunked"), std::string::npos);
}

TEST_F(ServerStream, AHeadGetsNoPieces) {
  start();
  RawClient client = connect();
  for (const char* path : {"/stream", "/sized", "/pull?sized"}) {
    client.send("HEAD " + std::string(path) + " HTTP/1.1\r\nHost: t\r\n\r\n" + std::string(kHello));
    const auto head = client.receive(true);
    ASSERT_TRUE(head);
    EXPECT_EQ(head->status, 200);
    const auto next = client.receive();
    ASSERT_TRUE(next);
    EXPECT_EQ(next->body, "hello");
  }
  EXPECT_TRUE(stream(0).gone());
  EXPECT_EQ(stream(1).write("x"), Kept::kGone);
}

TEST_F(ServerStream, AnAnnouncedLengthIsHeld) {
  start();
  RawClient client = connect();
  client.send(get("/sized"));
  stream(0).write("01234");
  stream(0).write("56789");
  stream(0).end();
  const auto response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->headers.at("content-length"), "10");
  EXPECT_EQ(response->body, "0123456789");
  client.send(get("/sized"));
  stream(1).write("01234");
  stream(1).end();
  EXPECT_FALSE(client.receive());
  EXPECT_EQ(cut("aborted"), 1);
}

TEST_F(ServerStream, WhatIsBrokenOffNeverLooksComplete) {
  start();
  for (const bool dropped : {false, true}) {
    RawClient client = connect();
    client.send(get("/stream"));
    const int index = dropped ? 1 : 0;
    stream(index).write("one");
    ASSERT_TRUE(client.receive_text("HTTP/1.1 200 OK\r\n"));
    if (dropped) {
      std::lock_guard lock(streams_mutex_);
      streams_.back().reset();
    } else {
      stream(index).abort();
    }
    std::string rest;
    EXPECT_TRUE(client.wait_closed(&rest));
    EXPECT_EQ(rest.find("0\r\n\r\n"), std::string::npos);
  }
  RawClient old = connect();
  old.send(get("/stream", "1.0"));
  stream(2).write("one");
  ASSERT_TRUE(old.receive_text("HTTP/1.1 200 OK\r\n"));
  stream(2).abort();
  EXPECT_TRUE(old.wait_closed());
  EXPECT_TRUE(old.was_reset());  // A regular end would be the answer's.
  wait_for_end_of_streams();
  EXPECT_EQ(cut("aborted"), 3);
}

TEST_F(ServerStream, AClientThatLeavesIsNoticed) {
  start();
  {
    RawClient client = connect();
    client.send(get("/stream"));
    stream(0).write("one");
    ASSERT_TRUE(client.receive_text("HTTP/1.1 200 OK\r\n"));
    client.reset();
  }
  EXPECT_TRUE(left_.wait_for(1));
  while (!stream(0).gone()) ::poll(nullptr, 0, 2);
  EXPECT_EQ(stream(0).write("more"), Kept::kGone);
  EXPECT_EQ(cut("client_left"), 1);
  RawClient half = connect();
  half.send(get("/stream"));
  stream(1).write("one");
  half.shut_down_sending();
  EXPECT_TRUE(left_.wait_for(2));
  EXPECT_TRUE(stream(1).cancelled());
  EXPECT_FALSE(stream(1).gone());
  stream(1).end();  // Who has only ended its side still reads.
  const auto response = half.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "one");
}

TEST_F(ServerStream, WhoWritesFasterThanTheClientReadsIsTold) {
  stream_queue_bytes_ = 100'000;
  start();
  RawClient client(server_->port(), 4096);
  client.send(get("/stream"));
  ResponseStream& out = stream(0);
  std::size_t kept = 0;
  while (out.write(std::string(10'000, 'x')) == Kept::kKept) kept += 10'000;
  EXPECT_FALSE(out.gone());
  Signal drained;
  out.on_drained([&] { drained.raise(); });
  ASSERT_TRUE(client.receive_bytes(kept));
  EXPECT_TRUE(drained.wait_for(1));
  EXPECT_EQ(out.write("y"), Kept::kKept);
}

TEST_F(ServerStream, AClientThatReadsNothingIsCut) {
  config_.write_timeout = 100ms;
  start();
  RawClient client(server_->port(), 4096);
  client.send(get("/stream"));
  ResponseStream& out = stream(0);
  fill(out);
  EXPECT_TRUE(left_.wait_for(1));
  EXPECT_TRUE(client.wait_closed());
  EXPECT_EQ(cut("too_slow"), 1);
  // A stream that has nothing to say isn't slow.
  RawClient silent = connect();
  silent.send(get("/stream"));
  stream(1);
  RawClient measure(server_->port(), 4096);
  measure.send(get("/stream"));
  fill(stream(2));
  EXPECT_TRUE(left_.wait_for(2));
  EXPECT_FALSE(stream(1).gone());
}

TEST_F(ServerStream, ASilentEventStreamSaysThatItLives) {
  config_.stream_heartbeat = 20ms;
  start();
  RawClient client = connect();
  client.send(get("/events"));
  const auto head = client.receive(true);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->headers.at("content-type"), "text/event-stream");
  EXPECT_EQ(head->headers.at("cache-control"), "no-cache");
  EXPECT_EQ(head->headers.at("x-accel-buffering"), "no");
  EXPECT_EQ(client.receive_chunk(), ": \n\n");
  EXPECT_EQ(client.receive_chunk(), ": \n\n");
  stream(0).write(sse_event({.data = "x"}));
  std::optional<std::string> chunk = ": \n\n";
  while (chunk == ": \n\n") chunk = client.receive_chunk();
  EXPECT_EQ(chunk, "data: x\n\n");
  stream(0).end();
}

TEST_F(ServerStream, LargeContentIsMadeAsItIsRead) {
  start();
  RawClient client(server_->port(), 4096);
  client.send(get("/pull") + get("/pull?sized"));
  // Nothing is read yet: what is made ahead is bounded. Another answer measures the time.
  ASSERT_EQ(ask(get("/pull?sized")).body, std::string(kPulledBytes, 'p'));
  for (const bool sized : {false, true}) {
    const auto response = client.receive();
    ASSERT_TRUE(response) << sized;
    EXPECT_EQ(response->body.size(), kPulledBytes);
    EXPECT_EQ(response->headers.contains("content-length"), sized);
  }
  client.send(get("/pull?fails"));
  EXPECT_FALSE(client.receive());
  wait_for_end_of_streams();
  EXPECT_EQ(cut("aborted"), 1);
}

TEST_F(ServerStream, AContentGoesOutWholeWhereOthersHaveTakenTheRoom) {
  config_.streams_bytes_max = 300'000;
  start();
  RawClient slow(server_->port(), 4096);
  slow.send(get("/pull"));
  ASSERT_TRUE(slow.receive_text("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(ask(get("/pull?sized")).body, std::string(kPulledBytes, 'p'));
  slow.reset();
}

TEST_F(ServerStream, AContentThatNobodyReadsIsNotMade) {
  config_.write_timeout = 100ms;
  start();
  RawClient client(server_->port(), 4096);
  client.send(get("/pull"));
  while (cut("too_slow") < 1) ::poll(nullptr, 0, 2);
  EXPECT_LT(pulled_ * 100'000, static_cast<int>(kPulledBytes));
}

TEST_F(ServerStream, StreamsMayEndWhileTheServerStops) {
  config_.stop_grace = 30s;
  start();
  RawClient client = connect();
  client.send(get("/stream"));
  stream(0).write("one");
  std::thread stopping([this] { server_->stop(); });
  while (RawClient(server_->port()).connected()) ::poll(nullptr, 0, 2);
  stream(0).write("two");
  stream(0).end();
  const auto response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "onetwo");
  EXPECT_TRUE(client.wait_closed());
  client.close();
  stopping.join();
}

TEST_F(ServerStream, AStreamThatOutlivesTheGraceIsCut) {
  config_.stop_grace = 50ms;
  start();
  RawClient client = connect();
  client.send(get("/stream"));
  stream(0).write("one");
  ASSERT_TRUE(client.receive_text("HTTP/1.1 200 OK\r\n"));
  server_->stop();
  EXPECT_TRUE(client.wait_closed());
  EXPECT_TRUE(left_.wait_for(1));
  EXPECT_EQ(cut("stopped"), 1);
  EXPECT_EQ(stream(0).write("late"), Kept::kGone);
}

TEST_F(ServerStream, EveryMetricIsInTheDocumentationAndNoneIsThereInVain) {
  start();
  ask(std::string(kHello));
  ask("nonsense\r\n\r\n");
  ask(get("/pull?fails"));
  const auto names = [](const std::string& text, const std::string& pattern) {
    const std::regex regex(pattern);
    std::set<std::string> found;
    for (std::sregex_iterator at(text.begin(), text.end(), regex), end; at != end; ++at)
      found.insert((*at)[1]);
    return found;
  };
  std::ifstream file(SLUICE_SOURCE_DIR "/docs/metrics.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(names(registry_.expose(), "# TYPE (sluice_http_[a-z_]+) "),
            names(text.str(), "\\| `(sluice_http_[a-z_]+)` \\|"));
}

}  // namespace
}  // namespace sluice::http
