#include "common/base/loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace sluice {
namespace {

using std::chrono::hours;

TEST(Loop, RunsAtOnceThenWhenWoken) {
  SystemClock clock;
  std::promise<void> first;
  std::promise<void> second;
  std::atomic<int> runs{0};
  Loop loop("test", clock, [&]() -> Duration {
    if (++runs == 1) first.set_value();
    if (runs == 2) second.set_value();
    return hours(1);
  });
  loop.start();
  first.get_future().wait();
  loop.wake();
  second.get_future().wait();
  loop.stop();
  EXPECT_GE(runs, 2);
}

TEST(Loop, AWakeDuringARunIsNotLost) {
  SystemClock clock;
  std::promise<void> entered;
  std::promise<void> go_on;
  std::promise<void> again;
  std::atomic<int> runs{0};
  Loop loop("test", clock, [&]() -> Duration {
    if (++runs == 1) {
      entered.set_value();
      go_on.get_future().wait();
    } else if (runs == 2) {
      again.set_value();
    }
    return hours(1);
  });
  loop.start();
  entered.get_future().wait();
  loop.wake();
  go_on.set_value();
  again.get_future().wait();
  loop.stop();
}

TEST(Loop, RunsAgainAfterThePauseItAskedFor) {
  ManualClock clock;
  std::atomic<int> runs{0};
  Loop loop("test", clock, [&]() -> Duration {
    ++runs;
    return std::chrono::seconds(10);
  });
  loop.start();
  while (runs < 1) std::this_thread::yield();
  EXPECT_EQ(runs, 1);
  while (runs < 2) {  // Its pause may not have begun yet.
    clock.advance(std::chrono::seconds(11));
    std::this_thread::yield();
  }
  loop.stop();
  EXPECT_GE(runs, 2);
}

TEST(Loop, StopToleratesEveryOrder) {
  SystemClock clock;
  Loop never("never", clock, []() -> Duration { return hours(1); });
  never.stop();
  never.stop();
  never.start();  // After stop(): does nothing.
  Loop twice("twice", clock, []() -> Duration { return hours(1); });
  twice.start();
  twice.start();
  twice.stop();
  twice.stop();
}

}  // namespace
}  // namespace sluice
