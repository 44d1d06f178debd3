#include "common/base/loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>

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

// Moved by hand, and tells how often somebody has begun to wait on it.
class WatchedClock final : public Clock {
 public:
  SteadyTime steady_now() const override { return clock_.steady_now(); }
  WallTime wall_now() const override { return clock_.wall_now(); }
  void wait_until(std::condition_variable& signal, std::unique_lock<std::mutex>& lock,
                  SteadyTime until) override {
    {
      std::lock_guard own(mutex_);
      ++waits_;
    }
    waited_.notify_all();
    clock_.wait_until(signal, lock, until);
  }
  void advance(Duration by) { clock_.advance(by); }
  // That many more waits have begun. False if that takes longer than a test should.
  bool more_waits(int count) {
    std::unique_lock lock(mutex_);
    const int until = waits_ + count;
    return waited_.wait_for(lock, std::chrono::seconds(20), [&] { return waits_ >= until; });
  }

 private:
  ManualClock clock_;
  std::mutex mutex_;
  std::condition_variable waited_;
  int waits_ = 0;
};

TEST(Loop, RunsAgainAfterThePauseItAskedFor) {
  WatchedClock clock;
  std::promise<void> second;
  std::atomic<int> runs{0};
  Loop loop("test", clock, [&]() -> Duration {
    if (++runs == 2) second.set_value();
    return std::chrono::seconds(10);
  });
  loop.start();
  ASSERT_TRUE(clock.more_waits(1));  // Its pause has begun: from here on it lasts 10 s by this clock.
  EXPECT_EQ(runs, 1);
  clock.advance(std::chrono::seconds(9));
  // Before the first of these it may have looked at the clock too early; not before the second.
  ASSERT_TRUE(clock.more_waits(2));
  EXPECT_EQ(runs, 1);
  clock.advance(std::chrono::seconds(1));
  ASSERT_EQ(second.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  ASSERT_TRUE(clock.more_waits(2));
  EXPECT_EQ(runs, 2);
  loop.stop();
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
