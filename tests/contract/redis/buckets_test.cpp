// Token buckets on the real Redis do as those of the process do.
#include <gtest/gtest.h>

#include "producer/guard/local_buckets.h"
#include "producer/guard/redis_buckets.h"
#include "tests/contract/support/servers.h"

namespace sluice::producer {
namespace {

using testing::env_or;
using testing::parts;

class RedisBucketsContract : public ::testing::Test {
 protected:
  void SetUp() override {
    SLUICE_REQUIRE_SERVER("SLUICE_REDIS_HOST");
    ASSERT_TRUE(redis_.command({"FLUSHDB"}, soon()));
  }
  static RedisConfig config() {
    RedisConfig config;
    config.host = env_or("SLUICE_REDIS_HOST", "127.0.0.1");
    config.port = std::stoi(env_or("SLUICE_REDIS_PORT", "6379"));
    config.password = Secret(env_or("SLUICE_REDIS_PASSWORD", ""));
    config.database = 10;
    return config;
  }
  Deadline soon() { return parts().in(std::chrono::milliseconds(2000)); }

  RedisPool redis_{config(), parts().clock, parts().rng, parts().log};
  RedisBuckets buckets_{redis_};
};

// A window so long that what is gained while the test runs can be told from what was charged.
constexpr std::int64_t kWindowMs = 1'000'000'000;

TEST_F(RedisBucketsContract, ChargesAllOrNone) {
  const std::vector<Charge> both = {{"{t}:wide", 100, kWindowMs, 10}, {"{t}:narrow", 15, kWindowMs, 10}};
  const auto first = buckets_.charge(both, soon());
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_TRUE(first->allowed);
  EXPECT_NEAR(first->levels[0], 90, 0.1);
  EXPECT_NEAR(first->levels[1], 5, 0.1);
  const auto second = buckets_.charge(both, soon());
  EXPECT_FALSE(second->allowed);
  EXPECT_NEAR(second->levels[0], 90, 0.1);
  EXPECT_NEAR(second->levels[1], 5, 0.1);
  EXPECT_GT(wait_ms(both[1], second->levels[1]), 0);
}

TEST_F(RedisBucketsContract, ALargeChargeIsOwedAndABucketThatIsFullAgainExpires) {
  const Charge large{"{t}:b", 10, kWindowMs, 30};
  EXPECT_NEAR(buckets_.charge(std::span(&large, 1), soon())->levels[0], -20, 0.1);
  const Charge small{"{t}:b", 10, kWindowMs, 1};
  EXPECT_FALSE(buckets_.charge(std::span(&small, 1), soon())->allowed);
  const auto left_ms = redis_.command({"PTTL", "{t}:b"}, soon())->integer;
  EXPECT_NEAR(static_cast<double>(left_ms), 3.0 * kWindowMs, 60'000);
}

TEST_F(RedisBucketsContract, TimeFillsABucketAndALowerQuotaCutsIt) {
  const Charge charge{"{t}:fast", 1000, 1, 1000};  // A thousand tokens each millisecond.
  EXPECT_TRUE(buckets_.charge(std::span(&charge, 1), soon())->allowed);
  EXPECT_TRUE(testing::eventually([&] { return buckets_.charge(std::span(&charge, 1), soon())->allowed; }));
  const Charge wide{"{t}:cut", 1000, kWindowMs, 1};
  ASSERT_TRUE(buckets_.charge(std::span(&wide, 1), soon())->allowed);
  const Charge cut{"{t}:cut", 10, kWindowMs, 1};
  EXPECT_NEAR(buckets_.charge(std::span(&cut, 1), soon())->levels[0], 9, 0.1);
}

TEST_F(RedisBucketsContract, ManyAtOnceGetNoMoreThanTheQuota) {
  std::vector<std::thread> threads;
  std::atomic<int> allowed{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      const Charge one{"{t}:shared", 100, kWindowMs, 1};
      for (int i = 0; i < 50; ++i) {
        const auto charged = buckets_.charge(std::span(&one, 1), soon());
        allowed += charged && charged->allowed ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(allowed, 100);
}

}  // namespace
}  // namespace sluice::producer
