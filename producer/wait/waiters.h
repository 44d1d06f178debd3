// Requests that wait for a job to end.
//
// An end is learnt from an event (notify()); then the job is read. Events may be lost, so all jobs that are
// waited for are also looked up together, a few times a second. To miss nothing, a request registers first,
// then reads the job once, then leaves the rest to this.
//
// Safe for concurrent use. The reader and the clock must outlive it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/mutex.h"
#include "common/log/log.h"
#include "producer/metrics/producer_metrics.h"
#include "producer/wait/job_reader.h"

namespace sluice::producer {

struct WaitConfig {
  int waiters_max = 20'000;  // Each is an open request; beyond it nobody waits.
  std::chrono::milliseconds poll_every{250};
  std::chrono::milliseconds call_timeout{5'000};
};

class Waiters {
 public:
  using Ticket = std::uint64_t;
  // The job, final or, at the end of its time, as it is then; or why it could not be read. Runs once, on the
  // loop's thread: must be quick.
  using Done = std::function<void(Result<Job>)>;

  Waiters(JobReader& reader, WaitConfig config, Clock& clock, Log log, WaitMetrics metrics);
  ~Waiters();

  void start();
  // Answers everybody with the job as it is now, then ends. Nobody waits after that. May be called twice.
  void stop();

  // Empty: too many wait, or it is stopping; `done` will not run.
  std::optional<Ticket> add(const TenantId& tenant, const JobId& id, SteadyTime until, Done done)
      EXCLUDES(mutex_);
  // True: `done` has not run and will not. For requests that found their answer otherwise ("read"), or whose
  // client went away ("left").
  bool remove(Ticket ticket, std::string_view why) EXCLUDES(mutex_);
  // The job may have ended. Cheap for jobs that nobody waits for.
  void notify(const JobId& id) EXCLUDES(mutex_);
  // Events may have been missed: look at all now.
  void look_again() EXCLUDES(mutex_);

  std::size_t size() const EXCLUDES(mutex_);

  // One turn of the loop; for tests.
  Duration run_once();

 private:
  struct Waiter {
    TenantId tenant;
    JobId id;
    SteadyTime until{};
    Done done;
  };

  // Answers those who wait for one of `ids`, if it is final.
  void answer_final(std::span<const JobId> ids, bool hot_first, std::string_view by);
  void answer_late();
  Waiter take(Ticket ticket) REQUIRES(mutex_);
  std::vector<JobId> all_ids() const REQUIRES(mutex_);

  JobReader& reader_;
  const WaitConfig config_;
  Clock& clock_;
  const Log log_;
  const WaitMetrics metrics_;

  mutable Mutex mutex_;
  std::unordered_map<Ticket, Waiter> waiters_ GUARDED_BY(mutex_);
  std::unordered_multimap<std::string, Ticket> by_job_ GUARDED_BY(mutex_);
  std::set<std::pair<SteadyTime, Ticket>> by_time_ GUARDED_BY(mutex_);
  std::set<JobId> notified_ GUARDED_BY(mutex_);
  SteadyTime poll_at_ GUARDED_BY(mutex_){};
  Ticket last_ticket_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  Loop loop_;
};

}  // namespace sluice::producer
