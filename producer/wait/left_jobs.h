// Cancels jobs whose clients left and had said that nobody else wants the answer. Whoever sends the request
// again wants it done after all, and gets a new job: the key of the one that was cancelled is free.
//
// A client may leave while its job is still on its way into the database (OnItsWay), and the database may be
// away: such a job is tried again for a while, then goes on to its end.
//
// Safe for concurrent use. What it is given must outlive it.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
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
  // That wait to be cancelled, of all tenants and of one; beyond it a job goes on.
  std::size_t jobs_max = 20'000;
  std::size_t tenant_jobs_max = 5'000;
  // Tried in one turn of the loop, each in a transaction of its own: newcomers, and for a fourth of it at
  // least those that are due again.
  std::size_t step_max = 64;
  std::chrono::milliseconds call_timeout{5'000};
  // Before a job is tried again; doubles with each try. Also the pause after the database was away.
  std::chrono::milliseconds retry_every{100};
  std::chrono::milliseconds retry_every_max{5'000};
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
  // From any thread; doesn't block. The job has been written, or may have been; one that has ended stays as
  // it is.
  void add(const TenantId& tenant, const JobId& id) EXCLUDES(mutex_);
  // One turn of the loop; for tests.
  Duration run_once() EXCLUDES(mutex_);

  // A job that is being accepted. Its client may leave meanwhile: it is added then as soon as it is known to
  // be there, and never if it was not written. Safe for concurrent use; `jobs` must outlive it.
  class OnItsWay {
   public:
    OnItsWay(LeftJobs& jobs, TenantId tenant, JobId id)
        : jobs_(jobs), tenant_(std::move(tenant)), id_(std::move(id)) {}
    void leave() EXCLUDES(mutex_);
    // Once, when it has been settled. False: it was not written, and won't be.
    void settle(bool may_be_there) EXCLUDES(mutex_);

   private:
    LeftJobs& jobs_;
    const TenantId tenant_;
    const JobId id_;
    Mutex mutex_;
    bool left_ GUARDED_BY(mutex_) = false;
    bool settled_ GUARDED_BY(mutex_) = false;
    bool may_be_there_ GUARDED_BY(mutex_) = false;
  };

 private:
  struct Left {
    TenantId tenant;
    JobId id;
    SteadyTime until{};
    int tries = 0;
  };
  // The next turn's.
  std::vector<Left> take(SteadyTime now) EXCLUDES(mutex_);
  Status cancel(Left& left);
  // After this error; or gives it up, if it was tried for long enough.
  void try_again(Left left, const Error& error);
  // What the turn didn't come to.
  void put_back(std::vector<Left> rest) EXCLUDES(mutex_);
  void settled(const Left& left) EXCLUDES(mutex_);

  JobStore& store_;
  Waiters& waiters_;
  const LeftJobsConfig config_;
  Clock& clock_;
  const Log log_;
  const ApiMetrics metrics_;

  Mutex mutex_;
  std::deque<Left> fresh_ GUARDED_BY(mutex_);
  // With those that are tried again.
  std::size_t waiting_ GUARDED_BY(mutex_) = 0;
  std::map<TenantId, std::size_t> waiting_of_ GUARDED_BY(mutex_);
  // The loop's own.
  std::multimap<SteadyTime, Left> again_;  // By when they are due.
  SteadyTime away_until_{};
  Loop loop_;
};

}  // namespace sluice::producer
