// What jobs take of an engine's room for keys and values: how they are charged, and what the metrics say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/worker/batcher/completions.h"
#include "tests/unit/worker/batcher/scripted_engine.h"
#include "worker/batcher/batcher.h"

namespace sluice::worker {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;

class BatcherTokens : public ::testing::Test {
 protected:
  // An engine with room for so many tokens, and a batcher that has not started.
  Batcher& make(std::size_t room, const BatcherConfig& config) {
    EngineInfo info = ScriptedEngine::default_info();
    info.kv_tokens_max = room;
    engine_ = std::make_unique<ScriptedEngine>(info);
    batcher_ = std::make_unique<Batcher>(
        config, *engine_, clock_, BatcherMetrics::make(registry_),
        [this](std::vector<Completion>&& completions) { completions_.take(std::move(completions)); });
    return *batcher_;
  }
  // One that reserves `reserved` tokens and, once in the engine, takes `taken`: it shares the rest.
  Work work(const std::string& key, std::size_t reserved, std::size_t taken) {
    engine_->takes(key, taken);
    Work w;
    w.request.key = key;
    w.request.prompt.text = key;
    w.kv_tokens = reserved;
    return w;
  }
  // All of the first `count` are in the engine, and the batcher has done with letting them in.
  bool wait_charged(std::size_t count) { return engine_->wait_added(count) && engine_->wait_steps(1); }

  ManualClock clock_;
  metrics::Registry registry_;
  Completions completions_;
  std::unique_ptr<ScriptedEngine> engine_;
  std::unique_ptr<Batcher> batcher_;
};

TEST_F(BatcherTokens, AJobIsChargedWhatItTookAndNotWhatItShares) {
  Batcher& batcher = make(1000, {.jobs_max = 64, .linger = milliseconds(0), .ahead_max = 2});
  ASSERT_TRUE(batcher.offer(work("first", 200, 200)));
  for (const char* key : {"b", "c", "d"}) ASSERT_TRUE(batcher.offer(work(key, 200, 50)));
  EXPECT_EQ(batcher.room(), 1 + 2);  // 200 are left as long as each counts as what it reserves.
  batcher.start();
  ASSERT_TRUE(wait_charged(4));
  // 650 are left, and a job usually takes between 50 and 200 of them.
  EXPECT_THAT(batcher.room(), AllOf(Ge(3 + 2), Le(13 + 2)));
  for (const char* key : {"first", "b", "c", "d"}) engine_->finish(key);
  EXPECT_EQ(completions_.of("first").kv_tokens, 200U);
  for (const char* key : {"b", "c", "d"}) EXPECT_EQ(completions_.of(key).kv_tokens, 50U);
  EXPECT_THAT(batcher.room(), AllOf(Ge(5 + 2), Le(20 + 2)));  // All 1000 again.
}

TEST_F(BatcherTokens, NoJobIsChargedMoreThanItReserves) {
  Batcher& batcher = make(1000, {.jobs_max = 64, .linger = milliseconds(0), .ahead_max = 2});
  ASSERT_TRUE(batcher.offer(work("a", 100, 300)));
  batcher.start();
  ASSERT_TRUE(wait_charged(1));
  EXPECT_EQ(batcher.room(), 9 + 2);
  engine_->finish("a");
  EXPECT_EQ(completions_.of("a").kv_tokens, 100U);
  EXPECT_EQ(batcher.room(), 10 + 2);
}

// What is reserved for the large one counts until it turns out that it shares all of it; meanwhile others
// come.
TEST_F(BatcherTokens, ALargeOneThatSharesAllDoesNotDistortWhatJobsUsuallyTake) {
  Batcher& batcher = make(450, {.jobs_max = 64, .linger = milliseconds(0), .ahead_max = 4});
  ASSERT_TRUE(batcher.offer(work("first", 10, 10)));
  ASSERT_TRUE(batcher.offer(work("large", 1600, 0)));
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(batcher.offer(work("small " + std::to_string(i), 10, 10)));
  EXPECT_EQ(batcher.room(), 0);  // More than all is reserved.
  batcher.start();
  ASSERT_TRUE(wait_charged(42));
  // 40 of 450 are left, and jobs take about 10.
  EXPECT_THAT(batcher.room(), AllOf(Ge(3 + 4), Le(5 + 4)));
}

TEST_F(BatcherTokens, WhereJobsTakeNothingThePlacesAloneLimit) {
  Batcher& batcher = make(1000, {.jobs_max = 4, .linger = milliseconds(0), .ahead_max = 2});
  engine_->answer_all();
  batcher.start();
  // So many that what they usually take is next to nothing.
  for (int i = 0; i < 600; ++i) {
    const std::string key = std::to_string(i);
    ASSERT_TRUE(batcher.offer(work(key, 10, 0)));
    ASSERT_EQ(completions_.of(key).kv_tokens, 0U);
    ASSERT_THAT(batcher.room(), AllOf(Ge(1), Le(4 + 2))) << "after " << i;
  }
  EXPECT_EQ(batcher.room(), 4 + 2);
}

TEST_F(BatcherTokens, WhatTheEngineTellsOfItsRoomAndCacheIsExported) {
  Batcher& batcher = make(1000, {.jobs_max = 4, .linger = milliseconds(0)});
  EngineLoad load;
  load.kv_tokens_kept = 300;
  load.prompt_tokens_computed = 70;
  load.prompt_tokens_cached = 20;
  load.kv_pages_evicted = 3;
  engine_->report(load);
  ASSERT_TRUE(batcher.offer(work("a", 200, 150)));
  batcher.start();
  ASSERT_TRUE(wait_charged(1));
  for (const char* line :
       {"sluice_worker_kv_tokens{state=\"used\"} 150\n", "sluice_worker_kv_tokens{state=\"kept\"} 300\n",
        "sluice_worker_kv_tokens{state=\"free\"} 550\n",
        "sluice_worker_prefill_tokens_total{source=\"computed\"} 70\n",
        "sluice_worker_prefill_tokens_total{source=\"cached\"} 20\n",
        "sluice_worker_kv_pages_evicted_total 3\n"}) {
    EXPECT_THAT(registry_.expose(), HasSubstr(line));
  }
  // The engine counts from its beginning: what was told before is not counted again.
  load.prompt_tokens_computed = 75;
  load.prompt_tokens_cached = 40;
  load.kv_tokens_kept = 0;
  engine_->report(load);
  ASSERT_TRUE(engine_->wait_steps(3));
  for (const char* line :
       {"sluice_worker_kv_tokens{state=\"used\"} 150\n", "sluice_worker_kv_tokens{state=\"kept\"} 0\n",
        "sluice_worker_kv_tokens{state=\"free\"} 850\n",
        "sluice_worker_prefill_tokens_total{source=\"computed\"} 75\n",
        "sluice_worker_prefill_tokens_total{source=\"cached\"} 40\n",
        "sluice_worker_kv_pages_evicted_total 3\n"}) {
    EXPECT_THAT(registry_.expose(), HasSubstr(line));
  }
}

}  // namespace
}  // namespace sluice::worker
