#include "common/base/bounded_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace sluice {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(BoundedQueue, RefusesWhenFullAndLeavesTheItem) {
  BoundedQueue<std::unique_ptr<int>> queue(1);
  ASSERT_TRUE(queue.push(std::make_unique<int>(1)));
  auto second = std::make_unique<int>(2);
  EXPECT_FALSE(queue.push(std::move(second)));
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(*second, 2);
}

TEST(BoundedQueue, GivesOutInOrderUpToAMaximum) {
  ManualClock clock;
  BoundedQueue<int> queue(10);
  for (int i = 1; i <= 3; ++i) ASSERT_TRUE(queue.push(int(i)));
  EXPECT_THAT(queue.pop_many(clock, 2, clock.steady_now()), ElementsAre(1, 2));
  EXPECT_THAT(queue.pop_many(clock, 2, clock.steady_now()), ElementsAre(3));
  EXPECT_THAT(queue.pop_many(clock, 2, clock.steady_now()), IsEmpty());
}

TEST(BoundedQueue, AClosedQueueGivesOutWhatItHoldsAndWakesWhoWaits) {
  SystemClock clock;
  BoundedQueue<int> queue(10);
  ASSERT_TRUE(queue.push(1));
  queue.close();
  EXPECT_FALSE(queue.push(2));
  EXPECT_THAT(queue.pop_many(clock, 5, clock.steady_now() + seconds(30)), ElementsAre(1));
  EXPECT_THAT(queue.pop_many(clock, 5, clock.steady_now() + seconds(30)), IsEmpty());
}

TEST(BoundedQueue, ManyProducersAndConsumersLoseNothing) {
  SystemClock clock;
  BoundedQueue<int> queue(64);
  constexpr int kEach = 5000;
  std::atomic<long> sum{0};
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int p = 0; p < 2; ++p) {
    threads.emplace_back([&] {
      for (int i = 1; i <= kEach; ++i) {
        while (!queue.push(int(i))) std::this_thread::yield();
      }
    });
  }
  for (int c = 0; c < 2; ++c) {
    threads.emplace_back([&] {
      while (taken < 2 * kEach) {
        for (int value : queue.pop_many(clock, 16, clock.steady_now() + std::chrono::milliseconds(5))) {
          sum += value;
          ++taken;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(sum, 2L * kEach * (kEach + 1) / 2);
}

}  // namespace
}  // namespace sluice
