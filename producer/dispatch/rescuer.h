// Returns what was lost: running jobs whose lease lapsed, jobs whose time is over, and jobs that wait for the
// result of another that ended without them.
//
// Several producers may do it at once: each row is handled by one. Runs on the loop's own thread. Store and
// clock must outlive it.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/log/log.h"
#include "common/store/job_store.h"
#include "producer/metrics/producer_metrics.h"

namespace sluice::producer {

struct RescuerConfig {
  int batch_max = 256;
  std::chrono::milliseconds look_every{300};
  std::chrono::milliseconds retry_after{1'000};  // After a failure.
  std::chrono::milliseconds call_timeout{10'000};
};

class Rescuer {
 public:
  using OwnedShards = std::function<std::vector<int>()>;
  // `on_requeued` runs after jobs were given back to the queue: the dispatcher may look.
  Rescuer(JobStore& store, OwnedShards owned, std::function<void()> on_requeued, RescuerConfig config,
          Clock& clock, Log log, LoopMetrics metrics);

  void start() { loop_.start(); }
  void stop() { loop_.stop(); }
  // One turn of the loop; for tests.
  Duration run_once();

 private:
  JobStore& store_;
  const OwnedShards owned_;
  const std::function<void()> on_requeued_;
  const RescuerConfig config_;
  Clock& clock_;
  const Log log_;
  const LoopMetrics metrics_;
  Loop loop_;
};

}  // namespace sluice::producer
