// Ends jobs: all endings that wait go into one transaction, then to Redis, then their messages are acked.
//
//   commit, then ack: a crash between them repeats a message that names a start which is over; the reverse
//   loses a result.
//
// Without the database the endings wait here (the heartbeats keep their leases if they can) and are written
// when it is back. At most as many wait as are held, which the intake bounds.
//
// Safe for concurrent use. Everything given to the constructor must outlive it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/rng.h"
#include "common/log/log.h"
#include "common/store/job_store.h"
#include "worker/consumer/held_jobs.h"
#include "worker/consumer/job_end.h"
#include "worker/consumer/metrics.h"
#include "worker/consumer/result_cache.h"
#include "worker/consumer/task_source.h"

namespace sluice::worker {

struct CompleterConfig {
  std::string worker_id;
  std::size_t ends_max = 256;  // In one transaction: fewer row locks at once, more commits.
  std::chrono::milliseconds store_timeout{10'000};
  std::chrono::milliseconds cache_timeout{500};
  BackoffConfig retry{std::chrono::milliseconds(50), std::chrono::seconds(2), 0.2};
};

class Completer {
 public:
  // `on_settled` is called on the completer's thread whenever held jobs became fewer.
  Completer(CompleterConfig config, JobStore& store, HeldJobs& held, TaskSource& source, ResultCache& cache,
            Clock& clock, Rng& rng, Log log, WorkerMetrics metrics, std::function<void()> on_settled);
  ~Completer();
  Completer(const Completer&) = delete;
  Completer& operator=(const Completer&) = delete;

  void start();
  void push(std::vector<JobEnd>&& ends);
  void push(JobEnd end);
  // Writes what waits, at the latest until `until`, and ends. False: something is left unwritten; its lease
  // lapses by itself.
  bool stop(SteadyTime until);

 private:
  void run();
  bool take(std::vector<JobEnd>& into, bool wait);
  void wait_before_retry();
  void settle(std::vector<JobEnd>& ends);
  void write(std::vector<JobEnd>&& ends, std::vector<JobEnd>& unanswered);
  void answered(std::vector<JobEnd>& ends, std::vector<EndingResult>&& answers);
  void refuse(JobEnd&& end, const Error& error, std::vector<JobEnd>& unanswered);
  void log_end(const HeldJob& job, const decltype(JobEnd::how)& how, std::string_view outcome,
               const BatchId& batch) const;
  void ack(std::vector<DeliveryTag> tags);

  const CompleterConfig config_;
  JobStore& store_;
  HeldJobs& held_;
  TaskSource& source_;
  ResultCache& cache_;
  Clock& clock_;
  const Log log_;
  const WorkerMetrics metrics_;
  const std::function<void()> on_settled_;
  Backoff backoff_;

  Mutex mutex_;
  std::condition_variable changed_;
  std::deque<JobEnd> waiting_ GUARDED_BY(mutex_);
  bool started_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  SteadyTime stop_at_ GUARDED_BY(mutex_){};
  bool left_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace sluice::worker
