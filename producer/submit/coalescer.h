// Merges the submissions of concurrent requests into few transactions.
//
// A committer thread takes whatever waits, up to a number of rows and bytes, and commits it at once: alone
// when nothing else is going on, together with many under load. A large submission is committed by itself,
// and one committer is always left for the small ones.
//
// Safe for concurrent use. The store, the publisher and the clock must outlive it.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/log/log.h"
#include "common/store/job_store.h"
#include "producer/metrics/producer_metrics.h"
#include "producer/submit/fresh_publisher.h"

namespace sluice::producer {

struct CoalescerConfig {
  int committers = 3;  // More overlap commits, fewer merge more.
  // What may wait; beyond it submissions are refused.
  std::size_t queue_submissions_max = 8192;
  std::size_t queue_bytes_max = 128'000'000;
  // What goes into one transaction, unless one submission alone is more.
  std::size_t commit_rows_max = 1000;
  std::size_t commit_bytes_max = 4'000'000;
  // A submission of more rows is large.
  std::size_t large_rows_min = 500;
  // From being taken in to being answered; what waited too long is refused with nothing done.
  std::chrono::milliseconds submit_timeout{10'000};
};

class SubmitCoalescer {
 public:
  // Runs once, on a committer's thread, or, for a submission that still waits, on the one that calls stop().
  // The errors are JobStore::submit's, and kCancelled: given up before anything was done.
  using Done = std::function<void(Status, Submission&&)>;
  // True: nobody waits for the answer any more. Asked once, right before the work begins.
  using GivenUp = std::function<bool()>;

  SubmitCoalescer(JobStore& store, FreshPublisher& publisher, CoalescerConfig config, Clock& clock, Log log,
                  SubmitMetrics metrics);
  ~SubmitCoalescer();
  SubmitCoalescer(const SubmitCoalescer&) = delete;
  SubmitCoalescer& operator=(const SubmitCoalescer&) = delete;

  void start();
  // Commits what waits, then ends. May be called twice, or before start().
  void stop();

  // False: full or stopped; `done` will not run.
  [[nodiscard]] bool submit(Submission submission, Done done, GivenUp given_up = {}) EXCLUDES(mutex_);

 private:
  struct Pending {
    Submission submission;
    Done done;
    GivenUp given_up;
    std::size_t bytes = 0;
    SteadyTime until{};
  };
  using Group = std::vector<Pending>;

  void run();
  // What to commit next; empty: stopping, and nothing is left.
  Group take(bool& large) EXCLUDES(mutex_);
  Group take_small() REQUIRES(mutex_);
  void commit(Group group);
  void drop_stale(Group& group);

  JobStore& store_;
  FreshPublisher& publisher_;
  const CoalescerConfig config_;
  Clock& clock_;
  const Log log_;
  const SubmitMetrics metrics_;

  mutable Mutex mutex_;
  std::condition_variable filled_;
  std::deque<Pending> small_ GUARDED_BY(mutex_);
  std::deque<Pending> large_ GUARDED_BY(mutex_);
  std::size_t bytes_ GUARDED_BY(mutex_) = 0;
  int large_running_ GUARDED_BY(mutex_) = 0;
  bool large_next_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> committers_;
};

// The rows' text, about as the database is sent it.
std::size_t submission_bytes(const Submission& submission);

}  // namespace sluice::producer
