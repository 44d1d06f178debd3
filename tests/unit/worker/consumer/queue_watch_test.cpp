#include "worker/consumer/queue_watch.h"

#include "tests/unit/worker/consumer/harness.h"

namespace sluice::worker {
namespace {

EngineInfo with_two_formats() {
  EngineInfo info = ScriptedEngine::default_info();
  info.weight_type = "F16";
  info.fast_weight_type = "Q4_0";
  return info;
}

class QueueWatchTest : public RunnerTest {
 protected:
  QueueWatchTest() : RunnerTest(with_two_formats()) {}

  JobId submit_adaptive(const std::string& prompt) {
    return submit(prompt, Priority::kNormal,
                  R"({"prompt":")" + prompt + R"(","parameters":{"precision":"adaptive"}})");
  }
  static QueueWatchConfig watch(int deep_jobs) {
    QueueWatchConfig config;
    config.model = "m";
    config.deep_jobs = deep_jobs;
    return config;
  }
  JobRunnerConfig deep_above(int jobs) {
    JobRunnerConfig made = config();
    made.queue_watch.deep_jobs = jobs;
    return made;
  }
  Log log() { return Log("test", LogLevel::kError, clock_, std::make_shared<SilentSink>()); }
  // Of any priority.
  std::vector<JobId> wait_in_queue(int count) {
    std::vector<JobId> ids;
    for (int i = 0; i < count; ++i) ids.push_back(submit("waits", static_cast<Priority>(i % kPriorities)));
    return ids;
  }
  void leave_queue(std::vector<JobId>& ids, std::size_t left) {
    for (; ids.size() > left; ids.pop_back()) {
      ASSERT_TRUE(store_.cancel({"t"}, ids.back(), soon()).has_value());
    }
  }
};

TEST_F(QueueWatchTest, IsDeepAboveTheLimitUntilHalfOfItIsLeft) {
  QueueWatch queue(watch(8), store_, clock_, log(), WorkerMetrics::make(registry_));
  const auto deep = [&] {
    queue.look();
    return queue.deep();
  };
  EXPECT_FALSE(deep());
  std::vector<JobId> waiting = wait_in_queue(8);
  EXPECT_FALSE(deep());
  for (const JobId& id : wait_in_queue(1)) waiting.push_back(id);
  EXPECT_TRUE(deep());
  EXPECT_EQ(metric("sluice_worker_queue_deep"), 1);
  leave_queue(waiting, 5);
  EXPECT_TRUE(deep());
  leave_queue(waiting, 4);
  EXPECT_FALSE(deep());
  EXPECT_EQ(metric("sluice_worker_queue_deep"), 0);
  // Between the two it stays as it is: no turning back and forth.
  wait_in_queue(4);
  EXPECT_FALSE(deep());
}

TEST_F(QueueWatchTest, WithALimitOfNoneAnyJobThatWaitsMakesItDeep) {
  QueueWatch queue(watch(0), store_, clock_, log(), WorkerMetrics::make(registry_));
  queue.look();
  EXPECT_FALSE(queue.deep());
  std::vector<JobId> waiting = wait_in_queue(1);
  queue.look();
  EXPECT_TRUE(queue.deep());
  leave_queue(waiting, 0);
  queue.look();
  EXPECT_FALSE(queue.deep());
}

TEST_F(QueueWatchTest, JobsOfOtherModelsDoNotCount) {
  QueueWatchConfig others = watch(0);
  others.model = "another";
  QueueWatch queue(others, store_, clock_, log(), WorkerMetrics::make(registry_));
  wait_in_queue(5);
  queue.look();
  EXPECT_FALSE(queue.deep());
}

TEST_F(QueueWatchTest, StaysAsItWasWhileTheDatabaseIsAway) {
  QueueWatch queue(watch(2), store_, clock_, log(), WorkerMetrics::make(registry_));
  std::vector<JobId> waiting = wait_in_queue(3);
  queue.look();
  leave_queue(waiting, 0);
  store_.fail_next("count_queued", ErrorCode::kUnavailable);
  EXPECT_GT(queue.look(), Duration::zero());
  EXPECT_TRUE(queue.deep());
  EXPECT_EQ(metric("sluice_worker_store_errors_total{call=\"count\"}"), 1);
  queue.look();
  EXPECT_FALSE(queue.deep());
}

TEST_F(QueueWatchTest, OnlyJobsThatAllowItMoveAndOnlyWhileTheQueueIsDeep) {
  std::vector<JobId> waiting = wait_in_queue(6);
  start(deep_above(4));
  ASSERT_TRUE(pass_time_until([&] { return metric("sluice_worker_queue_deep") == 1; }));
  const JobId adaptive = submit_adaptive("adaptive");
  const JobId full = submit("full");
  deliver(adaptive);
  deliver(full);
  ASSERT_TRUE(engine_.wait_active(2));
  EXPECT_EQ(engine_.fast(), std::set<std::string>{key(adaptive)});

  // What runs goes on as it began; what comes later is computed in full again.
  leave_queue(waiting, 1);
  ASSERT_TRUE(pass_time_until([&] { return metric("sluice_worker_queue_deep") == 0; }));
  const JobId later = submit_adaptive("later");
  deliver(later);
  ASSERT_TRUE(engine_.wait_active(3));
  EXPECT_EQ(engine_.fast(), std::set<std::string>{key(adaptive)});
}

TEST_F(QueueWatchTest, TheResultAndTheMetricsTellWhichWeightsItWere) {
  start(deep_above(4));
  const JobId id = submit("full");
  deliver(id);
  ASSERT_TRUE(engine_.wait_active(1));
  Generation generation;
  generation.text = "ok";
  generation.weight_type = "Q4_0";
  engine_.finish(key(id), std::move(generation));
  ASSERT_TRUE(journal_.wait_for("put:" + id.value));
  EXPECT_EQ(job(id).result->precision, "Q4_0");
  EXPECT_EQ(metric("sluice_worker_answers_total{precision=\"Q4_0\"}"), 1);
}

class OneFormatTest : public RunnerTest {};

TEST_F(OneFormatTest, AWorkerWithoutAChoiceDoesNotAskHowManyWait) {
  for (int i = 0; i < 100; ++i) submit("waits");
  start(config());
  pass_time_until([] { return false; }, std::chrono::seconds(10));
  EXPECT_EQ(store_.calls("count_queued"), 0);
}

}  // namespace
}  // namespace sluice::worker
