#include "common/redis/redis.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <thread>

#include "tests/contract/support/servers.h"

namespace sluice::testing {
namespace {

using namespace std::string_literals;
using std::chrono::milliseconds;

RedisConfig redis_config() {
  RedisConfig config;
  config.host = env_or("SLUICE_REDIS_HOST", "127.0.0.1");
  config.port = std::stoi(env_or("SLUICE_REDIS_PORT", "6379"));
  config.password = Secret(env_or("SLUICE_REDIS_PASSWORD", ""));
  config.database = 9;  // Not where a running stack keeps its own.
  return config;
}

class RedisContract : public ::testing::Test {
 protected:
  void SetUp() override {
    SLUICE_REQUIRE_SERVER("SLUICE_REDIS_HOST");
    ASSERT_TRUE(pool_.command({"FLUSHDB"}, soon()));
  }
  Deadline soon() { return parts().in(milliseconds(2000)); }
  RedisPool pool_{redis_config(), parts().clock, parts().rng, parts().log};
};

// Listens on loopback and never answers.
class SilentServer {
 public:
  SilentServer() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(socket_, reinterpret_cast<sockaddr*>(&address), size);
    ::listen(socket_, 64);
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~SilentServer() { ::close(socket_); }
  int port() const { return port_; }

 private:
  int socket_;
  int port_ = 0;
};

TEST_F(RedisContract, ValuesComeBackByteForByte) {
  const std::string value = "\0\r\n$-1\r\n🦊\xff"s;
  EXPECT_EQ(pool_.command({"SET", "k\0\n"s, value}, soon())->text, "OK");
  EXPECT_EQ(pool_.command({"GET", "k\0\n"s}, soon())->text, value);
  EXPECT_TRUE(pool_.command({"GET", "none"}, soon())->is_nil());
  EXPECT_EQ(pool_.command({"INCRBY", "n", "-5"}, soon())->integer, -5);
  EXPECT_EQ(pool_.command({"SET", "empty", ""}, soon())->text, "OK");
  const auto empty = pool_.command({"GET", "empty"}, soon());
  EXPECT_FALSE(empty->is_nil());
  EXPECT_EQ(empty->text, "");
}

TEST_F(RedisContract, ARefusalIsAnErrorAndTheConnectionLives) {
  ASSERT_TRUE(pool_.command({"SET", "text", "x"}, soon()));
  const auto refused = pool_.command({"LPUSH", "text", "y"}, soon());
  EXPECT_EQ(refused.error().code, ErrorCode::kInternal);
  EXPECT_EQ(pool_.stats().connects, 1u);
  EXPECT_EQ(pool_.stats().failures, 0u);
}

TEST_F(RedisContract, APipelineAnswersEachCommandInOrder) {
  std::vector<RedisCommand> commands;
  commands.reserve(10002);
  for (int i = 0; i < 10000; ++i)
    commands.push_back({"SET", "k" + std::to_string(i), std::string(1000, 'x')});
  commands.push_back({"LPUSH", "k1", "y"});
  commands.push_back({"MGET", "k9999", "none"});
  const auto replies = pool_.pipeline(commands, soon());
  ASSERT_TRUE(replies) << replies.error().message;
  ASSERT_EQ(replies->size(), 10002u);
  EXPECT_TRUE((*replies)[10000].is_error());
  EXPECT_EQ((*replies)[10001].items[0].text.size(), 1000u);
  EXPECT_TRUE((*replies)[10001].items[1].is_nil());
}

TEST_F(RedisContract, BigAnswersToBigPipelinesDoNotDeadlock) {
  RedisConfig config = redis_config();
  config.call_timeout = milliseconds(60000);  // 120 MB may take a busy machine more than the usual second.
  RedisPool pool(config, parts().clock, parts().rng, parts().log);
  ASSERT_TRUE(pool.command({"SET", "big", std::string(1 << 20, 'b')}, soon()));
  std::vector<RedisCommand> commands(100, RedisCommand{"GET", "big"});
  for (int i = 0; i < 20; ++i) commands.push_back({"SET", "other", std::string(1 << 20, 'o')});
  const auto replies = pool.pipeline(commands, parts().in(config.call_timeout));
  ASSERT_TRUE(replies) << replies.error().message;
  EXPECT_EQ((*replies)[99].text.size(), 1u << 20);
}

TEST_F(RedisContract, ATransactionIsAllOrNothing) {
  const std::vector<RedisCommand> good = {{"SET", "a", "1"}, {"INCR", "a"}};
  const auto done = pool_.transaction(good, soon());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ((*done)[1].integer, 2);
  const std::vector<RedisCommand> bad = {{"SET", "a", "7"}, {"NOSUCHCOMMAND"}};
  EXPECT_EQ(pool_.transaction(bad, soon()).error().code, ErrorCode::kConflict);
  EXPECT_EQ(pool_.command({"GET", "a"}, soon())->text, "2");
}

TEST_F(RedisContract, AScriptIsSentOnce) {
  ASSERT_TRUE(pool_.command({"SCRIPT", "FLUSH"}, soon()));
  const RedisScript script("return {KEYS[1], ARGV[1], redis.call('INCR', KEYS[1])}");
  const std::vector<std::string> keys = {"counter"}, arguments = {"a\0b"s};
  for (int i = 1; i <= 2; ++i) {
    const auto reply = pool_.eval(script, keys, arguments, soon());
    ASSERT_TRUE(reply) << reply.error().message;
    EXPECT_EQ(reply->items[1].text, "a\0b"s);
    EXPECT_EQ(reply->items[2].integer, i);
  }
}

TEST_F(RedisContract, ManyThreadsShareFewConnections) {
  std::vector<std::thread> threads;
  threads.reserve(16);
  std::atomic<int> failed{0};
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) failed += pool_.command({"INCR", "shared"}, soon()) ? 0 : 1;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(pool_.command({"GET", "shared"}, soon())->text, "3200");
  EXPECT_LE(pool_.stats().connections, 8);
}

TEST_F(RedisContract, TheDeadlineEndsAWait) {
  Result<RedisReply> reply;
  const double took = seconds_of([&] {
    reply = pool_.command({"BLPOP", "never", "0"}, parts().in(milliseconds(100)));
  });
  EXPECT_EQ(reply.error().code, ErrorCode::kOutcomeUnknown);
  EXPECT_GE(took, 0.09);
  EXPECT_LT(took, 0.4);
  // The late answer belongs to nobody: the next call gets its own, and a hurry opened no circuit.
  EXPECT_EQ(pool_.command({"PING"}, soon())->text, "PONG");
  EXPECT_EQ(pool_.command({"PING"}, parts().in(milliseconds(-1))).error().code, ErrorCode::kDeadline);
}

TEST_F(RedisContract, AWrongPasswordIsUnavailable) {
  RedisConfig config = redis_config();
  if (config.password.empty()) GTEST_SKIP() << "this server asks for no password";
  config.password = Secret("wrong");
  RedisPool refused(config, parts().clock, parts().rng, parts().log);
  EXPECT_EQ(refused.command({"PING"}, soon()).error().code, ErrorCode::kUnavailable);
}

TEST_F(RedisContract, ASilentServerCostsLittle) {
  SilentServer silent;
  RedisConfig config = redis_config();
  config.port = silent.port();
  config.connect_timeout = milliseconds(100);
  RedisPool pool(config, parts().clock, parts().rng, parts().log);
  const double took = seconds_of([&] {
    for (int i = 0; i < 1000; ++i) {
      EXPECT_EQ(pool.command({"PING"}, soon()).error().code, ErrorCode::kUnavailable);
    }
  });
  EXPECT_LT(took, 0.5);  // One or two connect timeouts, not a thousand.
  EXPECT_GT(pool.stats().short_circuited, 990u);
  EXPECT_FALSE(pool.available());
}

TEST_F(RedisContract, AStoppedServerFailsFastAndIsFoundAgain) {
  SLUICE_REQUIRE_OWN_STACK();
  ASSERT_TRUE(pool_.command({"SET", "kept", "1"}, soon()));
  ServerOutage outage("redis");
  const double took = seconds_of([&] {
    for (int i = 0; i < 1000; ++i) EXPECT_FALSE(pool_.command({"PING"}, soon()));
  });
  EXPECT_LT(took, 1.0);
  ASSERT_TRUE(outage.end());
  EXPECT_TRUE(eventually([&] { return pool_.command({"PING"}, soon()).has_value(); }));
  EXPECT_TRUE(pool_.available());
}

TEST_F(RedisContract, ARestartBetweenTwoCallsIsNotNoticed) {
  SLUICE_REQUIRE_OWN_STACK();
  ASSERT_TRUE(pool_.command({"PING"}, soon()));
  ASSERT_TRUE(stack("restart redis"));
  EXPECT_TRUE(pool_.command({"PING"}, soon()));
}

TEST_F(RedisContract, AHungServerHoldsNoCallerLongerThanTheCallTimeout) {
  SLUICE_REQUIRE_OWN_STACK();
  RedisConfig config = redis_config();
  config.call_timeout = milliseconds(200);
  RedisPool pool(config, parts().clock, parts().rng, parts().log);
  ASSERT_TRUE(pool.command({"PING"}, soon()));
  const int server = stack_pid("redis");
  ASSERT_GT(server, 0);
  kill(server, SIGSTOP);
  Result<RedisReply> reply;
  const double took = seconds_of([&] { reply = pool.command({"PING"}, soon()); });
  kill(server, SIGCONT);
  EXPECT_FALSE(reply);
  EXPECT_LT(took, 0.6);
  EXPECT_TRUE(eventually([&] { return pool.command({"PING"}, soon()).has_value(); }));
}

}  // namespace
}  // namespace sluice::testing
