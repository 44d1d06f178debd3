// Bodies that are taken in pieces.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include "server_fixture.h"

namespace sluice::http {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr std::size_t kUploadMax = 64 << 20;

class ServerUpload : public ServerFixture {
 protected:
  ~ServerUpload() override {
    hold_.raise();
    if (server_) server_->stop();
  }

  // POST /upload: says how much came and how it ended; X-Refuse, X-Hold and X-Throw make it do other things.
  struct Upload final : BodySink {
    Upload(ServerUpload& owner, const RequestHead& head)
        : test(owner),
          refuse_at(head.headers.get("X-Refuse").value_or("")),
          hold(head.headers.contains("X-Hold")),
          throws(head.headers.get("X-Throw").value_or("")) {}
    std::optional<Response> take(std::string_view piece) override {
      EXPECT_FALSE(piece.empty());
      EXPECT_LE(piece.size(), 64u * 1024);
      body += piece;
      test.pieces_.raise();
      if (hold) test.hold_.wait_for(1);
      if (throws == "take") throw std::runtime_error("take");
      if (!refuse_at.empty() && body.find(refuse_at) != std::string::npos) {
        return error_response(400, error_type::kInvalidRequest, "bad_line", "no");
      }
      return std::nullopt;
    }
    void finish(Request request, Responder responder) override {
      EXPECT_EQ(request.body, "");
      if (throws == "finish") throw std::runtime_error("finish");
      responder.send(Response::text(200, std::to_string(body.size()) + ":" + body.substr(0, 20)));
    }
    void aborted() override { test.aborted_.raise(); }

    ServerUpload& test;
    const std::string refuse_at;
    const bool hold;
    const std::string throws;
    std::string body;
  };

  void add_routes(Router& router) override {
    Route route;
    route.body_max = kUploadMax;
    route.open_body = [this](const RequestHead& head) -> OpenedBody {
      opened_.raise();
      if (head.headers.contains("X-Closed")) {
        return tl::unexpected(error_response(400, error_type::kInvalidRequest, "closed", "no"));
      }
      return std::make_unique<Upload>(*this, head);
    };
    router.add(Method::kPost, "/upload", route);
    route.body_max = 10;
    router.add(Method::kPost, "/small", route);
  }

  static std::string head(const std::string& fields, const std::string& path = "/upload") {
    return "POST " + path + " HTTP/1.1\r\nHost: t\r\n" + fields + "\r\n";
  }

  Signal opened_;
  Signal pieces_;
  Signal hold_;
  Signal aborted_;
};

TEST_F(ServerUpload, WholeBodiesAreTakenWhateverTheirFraming) {
  start();
  RawClient client = connect();
  const std::string body(1'000'000, 'x');
  ASSERT_TRUE(client.send(head("Content-Length: 1000000\r\n") + body + std::string(kHello)));
  auto response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "1000000:xxxxxxxxxxxxxxxxxxxx");
  response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "hello");
  std::string chunked = head("Transfer-Encoding: chunked\r\n");
  for (int i = 0; i < 10; ++i) chunked += "186a0\r\n" + std::string(100'000, 'x') + "\r\n";
  ASSERT_TRUE(client.send(chunked + "0\r\n\r\n" + std::string(kHello)));
  response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "1000000:xxxxxxxxxxxxxxxxxxxx");
  ASSERT_TRUE(client.receive());
  client.send(head("Content-Length: 0\r\n"));
  response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "0:");
  EXPECT_EQ(aborted_.count(), 0);
  EXPECT_EQ(metric("sluice_http_body_bytes"), 0);
}

TEST_F(ServerUpload, BytesMayComeOneByOne) {
  start();
  for (const char* text : {"Content-Length: 5\r\n\r\nabcde",
                           "Transfer-Encoding: chunked\r\n\r\n2;x\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"}) {
    RawClient client = connect();
    for (const char c : "POST /upload HTTP/1.1\r\nHost: t\r\n" + std::string(text)) client.send({&c, 1});
    const auto response = client.receive();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->body, "5:abcde");
  }
}

TEST_F(ServerUpload, NoMoreIsReadThanIsTaken) {
  start();
  RawClient client = connect();
  const std::string body(kUploadMax, 'x');
  client.send(head("X-Hold: 1\r\nContent-Length: " + std::to_string(body.size()) + "\r\n"));
  const std::size_t sent = client.send_until_blocked(body);
  EXPECT_LT(sent, body.size());  // What the kernel holds, and no more.
  EXPECT_EQ(pieces_.count(), 1);
  hold_.raise();
  ASSERT_TRUE(client.send(std::string_view(body).substr(sent)));
  const auto response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_THAT(response->body, HasSubstr(std::to_string(kUploadMax)));
}

TEST_F(ServerUpload, WaitingForBytesHoldsNoThread) {
  start();
  std::vector<RawClient> slow;
  for (int i = 0; i < 12; ++i) {
    slow.push_back(connect());
    slow.back().send(head("Content-Length: 2\r\n") + "a");
  }
  ASSERT_TRUE(pieces_.wait_for(12));
  EXPECT_EQ(ask(std::string(kHello)).body, "hello");
  for (RawClient& client : slow) {
    client.send("b");
    const auto response = client.receive();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->body, "2:ab");
  }
}

TEST_F(ServerUpload, TheLimitHoldsWithAndWithoutALength) {
  start();
  EXPECT_EQ(ask(head("Content-Length: 10\r\n", "/small") + "0123456789").status, 200);
  EXPECT_EQ(ask(head("Content-Length: 11\r\n", "/small") + "0123456789a").status, 413);
  EXPECT_EQ(opened_.count(), 1);
  EXPECT_EQ(
      ask(head("Transfer-Encoding: chunked\r\n", "/small") + "5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n").status,
      200);
  EXPECT_EQ(
      ask(head("Transfer-Encoding: chunked\r\n", "/small") + "5\r\n01234\r\n6\r\n567890\r\n0\r\n\r\n").status,
      413);
  EXPECT_TRUE(aborted_.wait_for(1));
  EXPECT_EQ(ask(head("Transfer-Encoding: chunked\r\n") + "zz\r\n").status, 400);
  EXPECT_TRUE(aborted_.wait_for(2));
}

TEST_F(ServerUpload, ContinueIsSentOnlyOnceTheRouteTakesTheBody) {
  start();
  RawClient client = connect();
  client.send(head("Expect: 100-continue\r\nContent-Length: 2\r\n"));
  ASSERT_TRUE(client.receive_text("HTTP/1.1 100 Continue\r\n\r\n"));
  client.send("ab");
  ASSERT_TRUE(client.receive());
  client.send(head("X-Closed: 1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n"));
  const auto response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 400);
  client.shut_down_sending();
  EXPECT_TRUE(client.wait_closed());
}

TEST_F(ServerUpload, ARefusalInTheMiddleReachesTheClientAndNothingAfterItRuns) {
  start();
  RawClient client = connect();
  client.send(head("X-Refuse: bad\r\nContent-Length: 1000\r\n") + "good bad " + std::string(kHello));
  const auto response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 400);
  EXPECT_THAT(response->body, HasSubstr("bad_line"));
  EXPECT_EQ(response->headers.at("connection"), "close");
  client.shut_down_sending();
  EXPECT_TRUE(client.wait_closed());
  EXPECT_TRUE(aborted_.wait_for(1));
  EXPECT_EQ(handled_, 0);
}

TEST_F(ServerUpload, DefectsCostOneRequestOnly) {
  start();
  EXPECT_EQ(ask(head("X-Throw: take\r\nContent-Length: 1\r\n") + "a").status, 500);
  EXPECT_TRUE(aborted_.wait_for(1));
  EXPECT_EQ(ask(head("X-Throw: finish\r\nContent-Length: 1\r\n") + "a").status, 500);
  EXPECT_EQ(aborted_.count(), 1);
}

TEST_F(ServerUpload, WhoLeavesInTheMiddleIsHeardOf) {
  start();
  RawClient resets = connect();
  resets.send(head("Content-Length: 10\r\n") + "a");
  ASSERT_TRUE(pieces_.wait_for(1));
  resets.reset();
  EXPECT_TRUE(aborted_.wait_for(1));
  RawClient ends = connect();
  ends.send(head("Transfer-Encoding: chunked\r\n") + "1\r\na\r\n");
  ends.shut_down_sending();
  EXPECT_TRUE(aborted_.wait_for(2));
  EXPECT_TRUE(ends.wait_closed());
  RawClient held = connect();  // Leaves while its piece is worked on.
  held.send(head("X-Hold: 1\r\nContent-Length: 10\r\n") + "a");
  ASSERT_TRUE(pieces_.wait_for(3));
  held.reset();
  while (metric("sluice_http_connections") > 0) ::poll(nullptr, 0, 2);
  EXPECT_EQ(aborted_.count(), 2);
  hold_.raise();
  EXPECT_TRUE(aborted_.wait_for(3));
}

TEST_F(ServerUpload, TheStopIsHeardOf) {
  config_.stop_grace = 0ms;
  start();
  RawClient client = connect();
  client.send(head("Content-Length: 10\r\n") + "a");
  ASSERT_TRUE(pieces_.wait_for(1));
  server_->stop();
  EXPECT_EQ(aborted_.count(), 1);
}

TEST_F(ServerUpload, WhoSendsTooSlowlyIsEnded) {
  config_.body_timeout = 200ms;
  config_.upload_bytes_per_second_min = 1'000'000;
  start();
  RawClient client = connect();
  client.send(head("Content-Length: 1000\r\n"));
  // poll() paces the client; it never stops for as long as the limit, but sends next to nothing.
  std::optional<RawResponse> response;
  const auto began = clock_.steady_now();
  while (clock_.steady_now() - began < 400ms && client.send("x")) ::poll(nullptr, 0, 20);
  response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 408);
  EXPECT_TRUE(aborted_.wait_for(1));
}

TEST_F(ServerUpload, WhoSendsFastEnoughMayTakeLongerThanTheLimit) {
  config_.body_timeout = 2s;
  config_.upload_bytes_per_second_min = 1;
  start();
  RawClient client = connect();
  client.send(head("Content-Length: 8\r\n"));
  for (int i = 0; i < 8; ++i) {
    ::poll(nullptr, 0, 300);
    ASSERT_TRUE(client.send("x"));
  }
  const auto response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
}

}  // namespace
}  // namespace sluice::http
