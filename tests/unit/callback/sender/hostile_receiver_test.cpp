// Receivers that mean harm, or are broken as badly as if they did.
#include <gtest/gtest.h>

#include "tests/unit/callback/sender/sending.h"

namespace sluice::callback {
namespace {

using namespace std::chrono_literals;
using ::sluice::testing::Receiver;

class HostileReceiver : public testing::Sending {};

TEST_F(HostileReceiver, ThatResetsTheConnectionHasReceivedNothing) {
  Receiver receiver([](const Receiver::Request& request) {
    Receiver::Reply reply;
    reply.reset = true;
    reply.raw = request.target == "/silent" ? "H" : "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    return reply;
  });
  start(local());
  for (const char* target : {"/silent", "/half"}) {
    const AttemptReport done = report(receiver.url(target));
    EXPECT_NE(done.failure, AttemptFailure::kNone) << target;
    EXPECT_FALSE(is_success(done)) << target;
    EXPECT_NE(done.error, "") << target;
  }
}

TEST_F(HostileReceiver, ThatDripsIsGivenUpAtTheEndOfTheTime) {
  Receiver receiver([](const Receiver::Request& request) {
    Receiver::Reply reply;
    reply.drip = true;
    if (request.target == "/header") reply.raw = "HTTP/1.1 200 OK\r\nX-Slow: ";
    return reply;
  });
  SenderConfig config = local();
  config.total_timeout = 500ms;
  start(config);
  for (const char* target : {"/header", "/body"}) {
    const AttemptReport done = report(receiver.url(target));
    EXPECT_EQ(done.failure, AttemptFailure::kTimeout) << target << ": " << done.error;
    EXPECT_FALSE(is_success(done)) << target;
  }
}

TEST_F(HostileReceiver, ThatRedirectsInsideIsNotFollowedWhateverTheStatus) {
  Receiver inside;
  int status = 0;
  Receiver receiver([&](const Receiver::Request&) {
    return Receiver::Reply{.status = status, .headers = "Location: " + inside.url() + "\r\n"};
  });
  start(local());
  for (status = 300; status <= 308; ++status) {
    const AttemptReport done = report(receiver.url());
    EXPECT_EQ(done.status, status);
    EXPECT_FALSE(is_success(done)) << status;
  }
  EXPECT_EQ(inside.connections(), 0);
}

TEST_F(HostileReceiver, ThatFloodsWithInterimAnswersIsCutOff) {
  Receiver receiver([](const Receiver::Request&) {
    Receiver::Reply reply;
    for (int i = 0; i < 4000; ++i) reply.raw += "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    reply.raw += "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    return reply;
  });
  start(local());
  const AttemptReport done = report(receiver.url());
  EXPECT_EQ(done.failure, AttemptFailure::kProtocol);
  EXPECT_NE(done.error.find("header is too long"), std::string::npos) << done.error;
}

TEST_F(HostileReceiver, AnInterimAnswersRetryAfterIsNotTheFinalOnes) {
  Receiver receiver([](const Receiver::Request&) {
    Receiver::Reply reply;
    reply.raw =
        "HTTP/1.1 103 Early Hints\r\nRetry-After: 86400\r\n\r\nHTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";
    return reply;
  });
  start(local());
  const AttemptReport done = report(receiver.url());
  EXPECT_EQ(done.status, 503);
  EXPECT_EQ(done.retry_after, "");
}

TEST_F(HostileReceiver, ThatLiesAboutItsLengthHasReceivedNothing) {
  Receiver receiver([](const Receiver::Request& request) {
    Receiver::Reply reply;
    const std::string head = "HTTP/1.1 200 OK\r\n";
    if (request.target == "/longer") reply.raw = head + "Content-Length: 9223372036854775807\r\n\r\nx";
    if (request.target == "/chunk") reply.raw = head + "Transfer-Encoding: chunked\r\n\r\nZZ\r\nx\r\n";
    if (request.target == "/huge-chunk") {
      reply.raw = head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx\r\n";
    }
    if (request.target == "/cut-chunk") reply.raw = head + "Transfer-Encoding: chunked\r\n\r\n5\r\nab";
    if (request.target == "/upgrade") reply.raw = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n";
    return reply;
  });
  start(local());
  for (const char* target : {"/longer", "/chunk", "/huge-chunk", "/cut-chunk", "/upgrade"}) {
    EXPECT_FALSE(is_success(report(receiver.url(target)))) << target;
  }
}

// Nobody asked for a compressed answer, and none is unpacked: a small one could become gigabytes.
TEST_F(HostileReceiver, ThatAnswersCompressedIsKeptAsItsBytes) {
  const std::string bytes("\x1f\x8b\x08\x00\x00\xff\n\r\0\xfe", 10);
  Receiver receiver([&](const Receiver::Request&) {
    return Receiver::Reply{.headers = "Content-Encoding: gzip\r\n", .body = bytes};
  });
  start(local());
  const AttemptReport done = report(receiver.url());
  EXPECT_TRUE(is_success(done));
  EXPECT_EQ(done.response, bytes);
  EXPECT_EQ(receiver.requests().front().headers.count("accept-encoding"), 0U);
}

TEST_F(HostileReceiver, ACookieIsNotSentBack) {
  Receiver receiver([](const Receiver::Request&) {
    return Receiver::Reply{.headers = "Set-Cookie: who=tenant-a; Path=/\r\n"};
  });
  start(local());
  EXPECT_TRUE(is_success(report(receiver.url())));
  EXPECT_TRUE(is_success(report(receiver.url())));
  EXPECT_EQ(receiver.requests().back().headers.count("cookie"), 0U);
}

}  // namespace
}  // namespace sluice::callback
