#include "worker/batcher/batcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "tests/unit/worker/batcher/completions.h"
#include "tests/unit/worker/batcher/scripted_engine.h"

namespace sluice::worker {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class BatcherTest : public ::testing::Test {
 protected:
  BatcherTest() = default;
  Batcher& make(BatcherConfig config = {}) {
    batcher_ = std::make_unique<Batcher>(
        config, engine_, clock_, BatcherMetrics::make(registry_),
        [this](std::vector<Completion>&& completions) { completions_.take(std::move(completions)); });
    return *batcher_;
  }
  Work work(const std::string& key, std::size_t tokens = 10, bool alone = false) {
    Work w;
    w.request.key = key;
    w.request.prompt.text = key;
    w.kv_tokens = tokens;
    w.alone = alone;
    return w;
  }
  template <class T>
  bool ended_as(const std::string& key) {
    return std::holds_alternative<T>(completions_.of(key).how);
  }

  ManualClock clock_;
  metrics::Registry registry_;
  ScriptedEngine engine_;
  Completions completions_;
  std::unique_ptr<Batcher> batcher_;
};

TEST_F(BatcherTest, AnIdleEngineStartsWithoutAnyTimePassing) {
  Batcher& batcher = make();
  batcher.start();
  ASSERT_TRUE(batcher.offer(work("a")));
  ASSERT_TRUE(engine_.wait_added(1));
  engine_.finish("a");
  const Completion done = completions_.of("a");
  EXPECT_EQ(std::get<Generation>(done.how).text, "ok");
  EXPECT_EQ(done.kv_tokens, 10U);
}

TEST_F(BatcherTest, BesideARunningOneTheNextWaitsForTheLinger) {
  Batcher& batcher = make({.jobs_max = 8, .linger = milliseconds(50)});
  batcher.start();
  batcher.offer(work("a"));
  ASSERT_TRUE(engine_.wait_added(1));
  batcher.offer(work("b"));
  ASSERT_TRUE(engine_.wait_steps(3));
  EXPECT_THAT(engine_.added(), ElementsAre("a"));
  clock_.advance(milliseconds(49));
  ASSERT_TRUE(engine_.wait_steps(3));
  EXPECT_THAT(engine_.added(), ElementsAre("a"));
  clock_.advance(milliseconds(1));
  ASSERT_TRUE(engine_.wait_added(2));
}

TEST_F(BatcherTest, AFinishedOneFreesItsPlaceAtOnce) {
  Batcher& batcher = make({.jobs_max = 2, .linger = milliseconds(0)});
  batcher.start();
  for (const char* key : {"a", "b", "c"}) batcher.offer(work(key));
  ASSERT_TRUE(engine_.wait_added(2));
  ASSERT_TRUE(engine_.wait_steps(2));
  EXPECT_THAT(engine_.added(), ElementsAre("a", "b"));
  engine_.finish("b");
  ASSERT_TRUE(engine_.wait_added(3));  // While "a" still runs.
  EXPECT_EQ(engine_.active_peak(), 2U);
  EXPECT_FALSE(completions_.has("a"));
}

TEST_F(BatcherTest, NoRoomInTheEnginePutsBackInOrderUntilSomethingEnded) {
  Batcher& batcher = make({.jobs_max = 8, .linger = milliseconds(0)});
  engine_.refuse("b", ErrorCode::kExhausted, 1);
  batcher.offer(work("a"));
  batcher.offer(work("b"));
  batcher.offer(work("c"));
  batcher.start();
  ASSERT_TRUE(engine_.wait_added(1));
  ASSERT_TRUE(engine_.wait_steps(3));
  EXPECT_THAT(engine_.added(), ElementsAre("a"));  // "c" doesn't overtake "b".
  engine_.finish("a");
  ASSERT_TRUE(engine_.wait_added(3));
  EXPECT_THAT(engine_.added(), ElementsAre("a", "b", "c"));
}

TEST_F(BatcherTest, WhatAnEmptyEngineHasNoRoomForFailsInsteadOfWaitingForEver) {
  Batcher& batcher = make();
  engine_.refuse("huge", ErrorCode::kExhausted, 1000);
  batcher.start();
  batcher.offer(work("huge"));
  EXPECT_EQ(std::get<Error>(completions_.of("huge").how).code, ErrorCode::kExhausted);
  batcher.offer(work("next"));
  EXPECT_TRUE(engine_.wait_added(1));
}

TEST_F(BatcherTest, ARefusedOneFailsAndItsMatesRun) {
  Batcher& batcher = make();
  engine_.refuse("bad", ErrorCode::kInvalid);
  for (const char* key : {"a", "bad", "c"}) batcher.offer(work(key));
  batcher.start();
  EXPECT_EQ(std::get<Error>(completions_.of("bad").how).code, ErrorCode::kInvalid);
  ASSERT_TRUE(engine_.wait_active(2));
  engine_.finish("c", fail(ErrorCode::kUnavailable, "broke"));
  EXPECT_EQ(std::get<Error>(completions_.of("c").how).code, ErrorCode::kUnavailable);
  engine_.finish("a");
  EXPECT_TRUE(ended_as<Generation>("a"));
}

TEST_F(BatcherTest, WhatMustBeAloneMeetsNobody) {
  Batcher& batcher = make({.linger = milliseconds(0)});
  batcher.offer(work("a"));
  batcher.offer(work("poison", 10, true));
  batcher.offer(work("b"));
  batcher.start();
  ASSERT_TRUE(engine_.wait_added(1));
  engine_.finish("a");
  ASSERT_TRUE(engine_.wait_added(2));
  ASSERT_TRUE(engine_.wait_steps(3));
  EXPECT_THAT(engine_.added(), ElementsAre("a", "poison"));
  engine_.finish("poison");
  ASSERT_TRUE(engine_.wait_added(3));
  EXPECT_THAT(engine_.mates_of("poison"), IsEmpty());
}

TEST_F(BatcherTest, CancelTakesOutWhatWaitsAndWhatRuns) {
  Batcher& batcher = make({.jobs_max = 1, .linger = milliseconds(0)});
  batcher.offer(work("runs"));
  batcher.offer(work("waits"));
  batcher.start();
  ASSERT_TRUE(engine_.wait_added(1));
  batcher.cancel("waits");
  EXPECT_TRUE(ended_as<Cancelled>("waits"));
  batcher.cancel("unknown");
  batcher.cancel("runs");
  EXPECT_TRUE(ended_as<Cancelled>("runs"));
  EXPECT_THAT(engine_.added(), ElementsAre("runs"));
}

TEST_F(BatcherTest, ADrainGivesBackFirstWhatWaitsThenWhatRuns) {
  Batcher& batcher = make({.jobs_max = 2, .linger = milliseconds(0)});
  for (const char* key : {"a", "b", "c"}) batcher.offer(work(key));
  batcher.start();
  ASSERT_TRUE(engine_.wait_added(2));
  batcher.give_back_waiting();
  EXPECT_TRUE(ended_as<GivenBack>("c"));
  Work late = work("late");
  EXPECT_FALSE(batcher.offer(std::move(late)));
  EXPECT_EQ(late.request.key, "late");
  EXPECT_EQ(batcher.room(), 0);
  engine_.finish("a");
  EXPECT_TRUE(ended_as<Generation>("a"));
  EXPECT_FALSE(completions_.has("b"));
  batcher.give_back_running();
  EXPECT_TRUE(ended_as<GivenBack>("b"));
}

TEST_F(BatcherTest, StopGivesBackEverything) {
  Batcher& batcher = make({.jobs_max = 1});
  batcher.offer(work("runs"));
  batcher.offer(work("waits"));
  batcher.start();
  ASSERT_TRUE(engine_.wait_added(1));
  batcher.stop();
  EXPECT_TRUE(ended_as<GivenBack>("runs"));
  EXPECT_TRUE(ended_as<GivenBack>("waits"));
  EXPECT_EQ(engine_.active(), 0U);
  batcher.stop();
}

TEST_F(BatcherTest, StopBeforeStartGivesBackToo) {
  Batcher& batcher = make();
  batcher.offer(work("a"));
  batcher.stop();
  EXPECT_TRUE(ended_as<GivenBack>("a"));
  batcher.start();
  EXPECT_FALSE(batcher.offer(work("b")));
}

TEST_F(BatcherTest, RoomIsTheFreePlacesAndALittleAhead) {
  Batcher& batcher = make({.jobs_max = 4, .ahead_max = 2});
  EXPECT_EQ(batcher.room(), 6);
  for (const char* key : {"a", "b", "c"}) batcher.offer(work(key));
  EXPECT_EQ(batcher.room(), 3);
  batcher.start();
  ASSERT_TRUE(engine_.wait_added(3));
  EXPECT_EQ(batcher.room(), 3);
  engine_.finish("a");
  completions_.of("a");
  EXPECT_EQ(batcher.room(), 4);
}

TEST_F(BatcherTest, RoomShrinksWithTheTokensThatJobsUsuallyTake) {
  Batcher& batcher = make({.jobs_max = 100, .tokens_max = 1000, .ahead_max = 1});
  for (int i = 0; i < 4; ++i) batcher.offer(work("k" + std::to_string(i), 200));
  EXPECT_EQ(batcher.room(), 2);  // 200 tokens are left: one more, and one ahead.
  batcher.offer(work("k4", 200));
  batcher.offer(work("k5", 200));
  EXPECT_EQ(batcher.room(), 0);
}

TEST_F(BatcherTest, EverythingOfferedComesOutExactlyOnceWhateverHappens) {
  Batcher& batcher = make({.jobs_max = 8, .linger = milliseconds(0)});
  batcher.start();
  std::atomic<int> accepted{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string key = std::to_string(t) + "-" + std::to_string(i);
        if (batcher.offer(work(key, 10, i % 17 == 0))) ++accepted;
        if (i % 3 == 0) batcher.cancel(key);
        if (i % 5 == 0) batcher.cancel(std::to_string((t + 1) % 4) + "-" + std::to_string(i));
      }
    });
  }
  EXPECT_TRUE(engine_.wait_added(1));
  engine_.answer_all();
  for (std::thread& thread : threads) thread.join();
  batcher.give_back_waiting();
  batcher.stop();
  EXPECT_TRUE(completions_.wait_count(static_cast<std::size_t>(accepted.load())));
  EXPECT_TRUE(completions_.each_came_once());
  EXPECT_LE(engine_.active_peak(), 8U);
}

}  // namespace
}  // namespace sluice::worker
