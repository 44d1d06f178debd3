#include "worker/ops/thread_pool.h"

#include <gtest/gtest.h>

#include <numeric>

namespace sluice::ops {
namespace {

TEST(ThreadPool, EveryItemComesExactlyOnceInPiecesOfTheGrain) {
  for (std::size_t threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (std::size_t items : {0, 1, 7, 64, 1000}) {
      for (std::size_t grain : {1, 3, 64}) {
        std::vector<std::atomic<int>> seen(items);
        pool.parallel_for(items, grain, [&](std::size_t begin, std::size_t end, std::size_t thread) {
          EXPECT_LT(thread, threads);
          EXPECT_LE(end - begin, threads > 1 ? grain : items);
          for (std::size_t i = begin; i < end; ++i) ++seen[i];
        });
        for (std::size_t i = 0; i < items; ++i) ASSERT_EQ(seen[i], 1) << i;
      }
    }
  }
}

// What the body writes plainly is there when the call returns, round after round.
TEST(ThreadPool, ManyShortRounds) {
  ThreadPool pool(4);
  std::vector<int> counts(16, 0);
  constexpr int kRounds = 20000;
  for (int round = 0; round < kRounds; ++round) {
    pool.parallel_for(counts.size(), 1, [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t i = begin; i < end; ++i) ++counts[i];
    });
    if (round % 1000 == 0) {
      ASSERT_EQ(std::accumulate(counts.begin(), counts.end(), 0), (round + 1) * 16);
    }
  }
  for (int count : counts) EXPECT_EQ(count, kRounds);
}

// A thread that was stopped in mid-piece holds up that piece only: here the first piece ends only after all
// the others have.
TEST(ThreadPool, AStalledThreadDoesNotKeepTheOthersFromTheRest) {
  ThreadPool pool(2);
  std::atomic<int> others{0};
  pool.parallel_for(100, 1, [&](std::size_t begin, std::size_t, std::size_t) {
    if (begin == 0) {
      for (int seen = others.load(); seen != 99; seen = others.load()) others.wait(seen);
    } else {
      ++others;
      others.notify_all();
    }
  });
  EXPECT_EQ(others, 99);
}

TEST(ThreadPool, PiecesThatRunTogetherHaveDifferentThreadNumbers) {
  ThreadPool pool(3);
  std::vector<std::atomic<bool>> busy(3);
  for (int round = 0; round < 200; ++round) {
    pool.parallel_for(30, 1, [&](std::size_t, std::size_t, std::size_t thread) {
      EXPECT_FALSE(busy[thread].exchange(true));
      busy[thread] = false;
    });
  }
}

TEST(ThreadPool, StartsAndEndsIdle) {
  for (int i = 0; i < 50; ++i) ThreadPool pool(3);
}

TEST(ThreadPool, GrainLeavesSeveralPiecesForEachThread) {
  ThreadPool pool(4);
  EXPECT_EQ(pool.grain_for(1600, 16), 100U);
  EXPECT_EQ(pool.grain_for(10, 16), 16U);
  EXPECT_GE(usable_cpus(), 1U);
}

}  // namespace
}  // namespace sluice::ops
