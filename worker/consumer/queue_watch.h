// Whether so many jobs wait for the model that those which allow it are to be computed with the faster
// weights.
//
// Every second it counts the jobs that wait in the database: broker queues are kept short, so only the
// database knows of all of them. Deep is a queue of more than `deep_jobs`; it stays deep until no more than
// half as many wait, so that a queue about as long as the limit doesn't turn the answer back and forth. All
// workers of a model see the same queue. While the database can't be asked, the answer stays as it was.
//
// Safe for concurrent use. Everything given to the constructor must outlive it. start/stop as of Loop.
#pragma once

#include <atomic>
#include <chrono>
#include <string>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/log/log.h"
#include "common/store/job_store.h"
#include "worker/consumer/metrics.h"

namespace sluice::worker {

struct QueueWatchConfig {
  std::string model;
  int deep_jobs = 64;  // Fewer: the faster weights are used more often.
  std::chrono::milliseconds interval{1'000};
  std::chrono::milliseconds store_timeout{4'000};
};

class QueueWatch {
 public:
  QueueWatch(QueueWatchConfig config, JobStore& store, Clock& clock, Log log, WorkerMetrics metrics);
  void start() { loop_.start(); }
  void stop() { loop_.stop(); }

  // False until it has been started and found otherwise.
  bool deep() const { return deep_; }
  // One round. Returns the pause until the next.
  Duration look();

 private:
  // At most a few more than `deep_jobs`: more makes no difference.
  Result<std::int64_t> count();

  const QueueWatchConfig config_;
  JobStore& store_;
  Clock& clock_;
  const Log log_;
  const WorkerMetrics metrics_;
  std::atomic<bool> deep_{false};
  Loop loop_;
};

}  // namespace sluice::worker
