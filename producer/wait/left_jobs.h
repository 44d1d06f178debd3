// Cancels jobs whose clients left and had said that nobody else wants the answer. Whoever sends the request
// again wants it done after all, and gets a new job: the key of the one that was cancelled is free.
//
// A client may leave while its job is still on its way into the database, and the database may be away: such
// a job is tried again for a while, then goes on to its end.
//
// Safe for concurrent use. What it is given must outlive it.
#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/mutex.h"
#include "common/log/log.h"
#include "common/store/job_store.h"
#include "producer/metrics/producer_metrics.h"
#include "producer/wait/waiters.h"

namespace sluice::producer {

struct LeftJobsConfig {
  std::size_t jobs_max = 20'000;  // That wait to be cancelled; beyond it a job goes on.
  std::size_t step_max = 64;      // Cancelled in one turn of the loop.
  std::chrono::milliseconds call_timeout{5'000};
  std::chrono::milliseconds retry_every{100};
  std::chrono::milliseconds retry_for{30'000};  // Longer than a submission may wait to be written.
};

class LeftJobs {
 public:
  LeftJobs(JobStore& store, Waiters& waiters, LeftJobsConfig config, Clock& clock, Log log,
           ApiMetrics metrics);
  ~LeftJobs();

  void start();
  // Jobs that weren't cancelled by then go on. May be called twice.
  void stop();
  // From any thread; doesn't block. A job that has ended stays as it is.
  void add(const TenantId& tenant, const JobId& id) EXCLUDES(mutex_);
  // One turn of the loop; for tests.
  Duration run_once() EXCLUDES(mutex_);

 private:
  struct Left {
    TenantId tenant;
    JobId id;
    SteadyTime until{};
  };
  // False: again later.
  bool cancel(const Left& left);

  JobStore& store_;
  Waiters& waiters_;
  const LeftJobsConfig config_;
  Clock& clock_;
  const Log log_;
  const ApiMetrics metrics_;

  Mutex mutex_;
  std::vector<Left> fresh_ GUARDED_BY(mutex_);
  std::size_t waiting_ GUARDED_BY(mutex_) = 0;  // With those that are tried again.
  // The loop's own.
  std::vector<Left> again_;
  SteadyTime again_at_{};
  Loop loop_;
};

}  // namespace sluice::producer
