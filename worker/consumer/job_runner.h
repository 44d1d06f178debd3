// The whole way of a start through the worker: message, claim, engine, ending, ack. Knows the broker, the
// database and Redis by their interfaces only; main gives it the real ones, tests give it others.
//
//   deliver() → Intake → Batcher (engine thread) → Completer
//                  LeaseKeeper, QueueWatch and LiveWriter beside them
//
// Safe for concurrent use, but start, drain and stop are for one owner, and set_draining for one thread.
// Everything given to the constructor must outlive it.
#pragma once

#include <chrono>
#include <string>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/rng.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/store/job_store.h"
#include "worker/batcher/batcher.h"
#include "worker/consumer/completer.h"
#include "worker/consumer/held_jobs.h"
#include "worker/consumer/intake.h"
#include "worker/consumer/lease_keeper.h"
#include "worker/consumer/live_sink.h"
#include "worker/consumer/live_writer.h"
#include "worker/consumer/metrics.h"
#include "worker/consumer/queue_watch.h"
#include "worker/consumer/result_cache.h"
#include "worker/consumer/task_source.h"

namespace sluice::config {
class Settings;
}

namespace sluice::worker {

struct JobRunnerConfig {
  BatcherConfig batcher;
  IntakeConfig intake;  // `worker_id` and `model` are set by the runner.
  CompleterConfig completer;
  LeaseConfig lease;
  QueueWatchConfig queue_watch;  // `model` is set by the runner.
  LiveConfig live;
  std::chrono::milliseconds drain_timeout{10'000};  // What runs at a stop may go on for this long.
};
void bind(config::Settings& settings, JobRunnerConfig& config);

class JobRunner {
 public:
  JobRunner(JobRunnerConfig config, const std::string& worker_id, JobStore& store, Engine& engine,
            TaskSource& source, ResultCache& cache, LiveSink& live, Clock& clock, Rng& rng, Log log,
            metrics::Registry& registry);
  ~JobRunner();
  JobRunner(const JobRunner&) = delete;
  JobRunner& operator=(const JobRunner&) = delete;

  void start();
  // At most as many unacked at a time as the source prefetches.
  void deliver(Priority lane, Delivery&& delivery) { intake_.deliver(lane, std::move(delivery)); }

  // While `draining`, what is claimed goes on to its end and nothing is taken besides. Nothing once drain()
  // or stop() began.
  void set_draining(bool draining);

  // Takes no new work, gives back what has not started, lets what runs finish until `drain_timeout`, gives
  // the rest back, writes all endings, and ends the threads. False: some endings could not be written; their
  // leases lapse.
  bool drain();
  // Ends the threads and gives back what is held as far as that works at once. After drain() it does nothing.
  void stop();

  Rates rates() const { return batcher_.rates(); }
  std::size_t held() const { return held_.size(); }
  const WorkerMetrics& metrics() const { return metrics_; }

 private:
  const JobRunnerConfig config_;
  Clock& clock_;
  TaskSource& source_;
  const Log log_;
  const WorkerMetrics metrics_;
  HeldJobs held_;
  LiveWriter live_;
  Completer completer_;
  Batcher batcher_;
  QueueWatch queue_watch_;
  Intake intake_;
  LeaseKeeper lease_keeper_;
  const bool has_choice_;  // The engine holds faster weights, too.
  Mutex drain_mutex_;
  bool draining_ GUARDED_BY(drain_mutex_) = false;
  bool leaving_ GUARDED_BY(drain_mutex_) = false;  // For good.
  bool ended_ = false;
};

// "host-pid-random": names one life of one process.
std::string make_worker_id(Rng& rng);

}  // namespace sluice::worker
