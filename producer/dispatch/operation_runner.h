// Makes the due steps of operations on dead letters, and outdates what Redis still says of the jobs that they
// redrove.
//
// Several producers may do it at once: a step is made by one of them, and outdating twice is harmless. Runs
// on the loop's own thread; wake() is safe from any. Stores, hot jobs and clock must outlive it.
#pragma once

#include <chrono>
#include <functional>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/log/log.h"
#include "common/store/dead_letter_store.h"
#include "common/store/operation_store.h"
#include "producer/metrics/producer_metrics.h"
#include "producer/wait/hot_jobs.h"

namespace sluice::producer {

struct OperationRunnerConfig {
  std::chrono::milliseconds look_every{250};
  std::chrono::milliseconds retry_after{1'000};  // After a failure.
  std::chrono::milliseconds call_timeout{10'000};
  int copies_max = 1'000;  // Outdated in one go: no fewer than the largest step redrives.
};

class OperationRunner {
 public:
  // `on_redriven` runs after jobs were given back to the queue: the dispatcher may look.
  OperationRunner(OperationStore& operations, DeadLetterStore& letters, HotJobs& hot,
                  std::function<void()> on_redriven, OperationRunnerConfig config, Clock& clock, Log log,
                  LoopMetrics metrics);

  void start() { loop_.start(); }
  void stop() { loop_.stop(); }
  void wake() { loop_.wake(); }
  // One turn of the loop; for tests.
  Duration run_once();

 private:
  enum class Copies { kDone, kMoreAreDue, kFailed };
  Copies outdate_copies();
  void failed(const char* what, const Error& error);
  Deadline call_deadline() const { return Deadline::in(clock_, config_.call_timeout); }

  OperationStore& operations_;
  DeadLetterStore& letters_;
  HotJobs& hot_;
  const std::function<void()> on_redriven_;
  const OperationRunnerConfig config_;
  Clock& clock_;
  const Log log_;
  const LoopMetrics metrics_;
  Loop loop_;
};

}  // namespace sluice::producer
