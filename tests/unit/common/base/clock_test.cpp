#include "common/base/clock.h"

#include <gtest/gtest.h>

#include <thread>

namespace sluice {
namespace {

using std::chrono::seconds;

TEST(ManualClock, AdvancesBothClocksAndLetsTheWallClockJumpAlone) {
  ManualClock clock;
  const auto steady = clock.steady_now();
  const auto wall = clock.wall_now();
  clock.advance(seconds(5));
  EXPECT_EQ(clock.steady_now() - steady, seconds(5));
  EXPECT_EQ(clock.wall_now() - wall, seconds(5));
  clock.set_wall(wall - seconds(3600));
  EXPECT_EQ(clock.steady_now() - steady, seconds(5));
  EXPECT_EQ(wall - clock.wall_now(), seconds(3600));
}

TEST(ManualClock, WakesAWaiterWhenItsTimeComes) {
  ManualClock clock;
  std::mutex mutex;
  std::condition_variable signal;
  const auto until = clock.steady_now() + seconds(60);
  std::thread waiter([&] {
    std::unique_lock lock(mutex);
    while (clock.steady_now() < until) clock.wait_until(signal, lock, until);
  });
  clock.advance(seconds(61));
  waiter.join();
  EXPECT_GE(clock.steady_now(), until);
}

TEST(Deadline, PassesWithTheClock) {
  ManualClock clock;
  const Deadline deadline = Deadline::in(clock, seconds(2));
  EXPECT_EQ(deadline.remaining(clock), seconds(2));
  EXPECT_FALSE(deadline.passed(clock));
  clock.advance(seconds(2));
  EXPECT_TRUE(deadline.passed(clock));
}

TEST(UnixTime, RoundTripsAndRoundsDownBeforeTheEpoch) {
  EXPECT_EQ(unix_micros(from_unix_micros(1'700'000'000'123'456)), 1'700'000'000'123'456);
  EXPECT_EQ(unix_seconds(from_unix_micros(1'999'999)), 1);
  EXPECT_EQ(unix_seconds(from_unix_micros(-1)), -1);
}

}  // namespace
}  // namespace sluice
