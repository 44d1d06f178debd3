#include "common/base/backoff.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using std::chrono::seconds;

TEST(Backoff, DoublesUpToItsCap) {
  const BackoffConfig config{seconds(1), seconds(300), 0.0};
  EXPECT_EQ(backoff_delay(config, 1), seconds(1));
  EXPECT_EQ(backoff_delay(config, 4), seconds(8));
  EXPECT_EQ(backoff_delay(config, 9), seconds(256));
  EXPECT_EQ(backoff_delay(config, 10), seconds(300));
  EXPECT_EQ(backoff_delay(config, 1'000'000), seconds(300));
}

TEST(Backoff, JitterStaysWithinItsShareAndVaries) {
  SeededRng rng(7);
  Backoff backoff({seconds(10), seconds(10), 0.2}, rng);
  Duration low = seconds(100);
  Duration high = seconds(0);
  for (int i = 0; i < 1000; ++i) {
    const Duration wait = backoff.next();
    low = std::min(low, wait);
    high = std::max(high, wait);
  }
  EXPECT_GE(low, seconds(8));
  EXPECT_LE(high, seconds(12));
  EXPECT_GT(high - low, seconds(3));
}

TEST(Backoff, StartsAnewAfterReset) {
  SeededRng rng(7);
  Backoff backoff({seconds(1), seconds(60), 0.0}, rng);
  backoff.next();
  EXPECT_EQ(backoff.next(), seconds(2));
  backoff.reset();
  EXPECT_EQ(backoff.next(), seconds(1));
}

}  // namespace
}  // namespace sluice
