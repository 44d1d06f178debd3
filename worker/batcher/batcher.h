// Runs the engine: one thread that lets work in, steps, and hands out what ended. It computes and does
// nothing else: no I/O, no waiting for anybody.
//
// Safe for concurrent use. The batcher is the engine's owner from start() to stop(); the engine and the clock
// must outlive it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/metrics/metrics.h"
#include "worker/batcher/admission.h"
#include "worker/batcher/rate_meter.h"
#include "worker/batcher/work.h"
#include "worker/engine/engine.h"

namespace sluice::config {
class Settings;
}

namespace sluice::worker {

struct BatcherConfig {
  int jobs_max = 32;  // At once in the engine. KV memory grows linearly with it.
  // Places beside them that only express work has, so that it starts at once however full the engine is.
  int express_max = 4;
  std::chrono::milliseconds linger{
      50};  // Longest wait to fill a group while others run; an idle engine starts at once.
  std::int64_t tokens_max = 0;  // KV tokens in use at once; 0 = all that the engine has.
  // Claimed beyond the free places, so that a freed place doesn't stand empty for the time of a claim. Each
  // costs a lease and, in a crash, an attempt.
  int ahead_max = 4;
};
void bind(config::Settings& settings, BatcherConfig& config);

struct BatcherMetrics {
  static BatcherMetrics make(metrics::Registry& registry);
  metrics::Histogram batch_jobs;
  metrics::Histogram step_seconds;
  metrics::Gauge active;
  metrics::Gauge waiting;
  metrics::Counter computed_tokens;
  metrics::Counter cached_tokens;
  metrics::Counter evicted_pages;
  metrics::Gauge kv_used;
  metrics::Gauge kv_kept;
  metrics::Gauge kv_free;
  metrics::Counter prompt_tokens;
  metrics::Counter completion_tokens;
};

class Batcher {
 public:
  // Called on the engine's thread, and from stop(); must return at once.
  using OnCompleted = std::function<void(std::vector<Completion>&&)>;
  // What those that go on have said in one step; likewise on the engine's thread. What came with a completion
  // is in that alone.
  using OnProgress = std::function<void(std::vector<Progress>&&)>;

  Batcher(BatcherConfig config, Engine& engine, Clock& clock, BatcherMetrics metrics,
          OnCompleted on_completed, OnProgress on_progress = {});
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  void start();
  // Ends the thread after its present step; what was not completed comes out as GivenBack.
  void stop();

  // How fast jobs were computed lately.
  Rates rates() const;
  // How many more jobs could start soon,
  int room() const;
  // and how many express ones, beside them.
  int express_room() const;
  // False: it is given back or stopped and takes nothing; `work` is left as it was. Every accepted work comes
  // out as one Completion.
  bool offer(Work&& work);
  // Comes out as Cancelled soon, unless it ends first. Unknown keys are ignored.
  void cancel(const std::string& key);
  // For a drain. From here on offers are refused and what has not started comes out as GivenBack …
  void give_back_waiting();
  // … and with this, what runs too.
  void give_back_running();

 private:
  struct RunningWork {
    std::size_t kv_tokens = 0;
    std::size_t tokens_max = 0;
    bool alone = false;
    bool express = false;
    SteadyTime offered;
    SteadyTime started;
  };
  // What others asked of the engine's thread.
  struct Inbox {
    std::vector<Work> offered;
    std::vector<std::string> cancelled;
    bool give_back_waiting = false;
    bool give_back_running = false;
    bool stopping = false;
  };

  void run();
  Inbox collect();
  void apply(Inbox& inbox, std::vector<Completion>& completed);
  void let_in(std::vector<Completion>& completed);
  void step(std::vector<Completion>& completed);
  void charge(Work& work, std::size_t free_before);
  void report_load();
  void hand_out(std::vector<Completion>&& completed);
  Completion end_running(const std::string& key, CompletionHow how);
  Completion end_waiting(const Work& work, CompletionHow how) const;

  const BatcherConfig config_;
  const std::size_t jobs_max_;
  const std::size_t express_max_;
  const std::size_t tokens_max_;  // 0 = without limit.
  Engine& engine_;
  Clock& clock_;
  const BatcherMetrics metrics_;
  const OnCompleted on_completed_;
  const OnProgress on_progress_;

  mutable Mutex mutex_;
  std::condition_variable asked_;
  Inbox inbox_ GUARDED_BY(mutex_);
  bool refusing_ GUARDED_BY(mutex_) = false;
  bool started_ GUARDED_BY(mutex_) = false;
  std::size_t jobs_ GUARDED_BY(mutex_) = 0;     // Accepted and not handed out.
  std::size_t express_ GUARDED_BY(mutex_) = 0;  // Of them.
  std::size_t tokens_ GUARDED_BY(mutex_) = 0;   // Of all accepted and not handed out.
  RateMeter meter_ GUARDED_BY(mutex_);
  double tokens_usual_ GUARDED_BY(mutex_) = 0;  // What a job took lately, without what it shares.

  // The engine thread's own.
  Admission admission_;
  std::map<std::string, RunningWork> running_;
  Running sum_;
  EngineLoad reported_;   // What the counters hold by now.
  bool no_room_ = false;  // The engine said so; asked again when something has ended.
  bool giving_back_ = false;
  Duration busy_{0};  // Since something ended last.
  std::thread thread_;
};

}  // namespace sluice::worker
