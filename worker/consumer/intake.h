// Takes in task messages, claims the starts that they name, and hands them to the batcher.
//
// It claims only what can start soon, because a claim starts the lease and counts as a start. All that waits
// and fits is claimed with one call.
//
// Isolation. A crash of this process loses every start that it holds at that moment, so a job that kills its
// worker must be held alone, or it takes its neighbours' lives with it. A job that lost `suspect_lapses`
// starts is a suspect: it is claimed by itself; if anything else is held then, it is given back at once and
// claimed again when the worker holds nothing, runs alone, and until its end is committed nothing else is
// claimed. What waits meanwhile has its turn before the next suspect.
//
// Safe for concurrent use. Everything given to the constructor must outlive it.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/mutex.h"
#include "common/base/rng.h"
#include "common/log/log.h"
#include "common/rabbitmq/message.h"
#include "common/store/job_store.h"
#include "worker/batcher/batcher.h"
#include "worker/consumer/completer.h"
#include "worker/consumer/held_jobs.h"
#include "worker/consumer/lanes.h"
#include "worker/consumer/live_writer.h"
#include "worker/consumer/metrics.h"
#include "worker/consumer/queue_watch.h"
#include "worker/consumer/task_source.h"

namespace sluice::worker {

struct IntakeConfig {
  std::string worker_id;
  std::string model;  // What the engine serves.
  LaneWeights weights = kLaneWeights;
  int suspect_lapses = JobRules{}.suspect_lapses();
  std::size_t held_max = 256;  // Claimed and not ended, those whose results wait to be written included.
  std::chrono::milliseconds store_timeout{5'000};
  // Unclaimed messages go back to their queue after this, before the broker (30 minutes) closes the channel.
  std::chrono::milliseconds message_age_max{600'000};
  BackoffConfig retry{std::chrono::milliseconds(100), std::chrono::seconds(5), 0.2};
};

class Intake {
 public:
  Intake(IntakeConfig config, JobStore& store, const Engine& engine, const QueueWatch& queue,
         Batcher& batcher, Completer& completer, HeldJobs& held, LiveWriter& live, TaskSource& source,
         Clock& clock, Rng& rng, Log log, WorkerMetrics metrics);

  void start() { loop_.start(); }
  void stop() { loop_.stop(); }
  // A message came. Returns at once. Bounded by the prefetch of the source.
  void deliver(Priority lane, Delivery&& delivery);
  // Something ended: there may be room.
  void wake() { loop_.wake(); }
  // While `holding`, nothing is claimed, and what comes is given back to its queue.
  void hold(bool holding);

  // One round of the loop. Returns the longest pause until the next.
  Duration run_once();

 private:
  struct Received {
    Priority lane;
    Delivery delivery;
    SteadyTime at;
  };
  enum class Claiming { kDone, kStoreDown };

  void receive();
  void give_back_old();
  void give_back_all();
  Duration claim_waiting();
  Duration claim_isolated();
  Claiming claim(std::vector<TaskDelivery>& deliveries);
  Claiming claim_refused(std::vector<TaskDelivery>& deliveries, const Error& error);
  void take_in(ClaimedJob&& job, const TaskDelivery& delivery);
  void isolate_later(const ClaimedJob& job, const TaskDelivery& delivery);
  void drop_duplicates(std::vector<TaskDelivery>& deliveries);
  void drop(const TaskDelivery& delivery);
  Duration back_off();

  const IntakeConfig config_;
  JobStore& store_;
  const Engine& engine_;
  const QueueWatch& queue_;
  Batcher& batcher_;
  Completer& completer_;
  HeldJobs& held_;
  LiveWriter& live_;
  TaskSource& source_;
  Clock& clock_;
  const Log log_;
  const WorkerMetrics metrics_;

  Mutex mutex_;
  std::vector<Received> inbox_ GUARDED_BY(mutex_);
  std::atomic<bool> holding_{false};

  // The loop's own.
  Lanes lanes_;
  std::deque<TaskDelivery> isolated_;  // To be claimed when nothing is held.
  bool alone_ = false;                 // What is held has the worker to itself.
  Backoff backoff_;
  SteadyTime retry_at_{};
  Loop loop_;
};

}  // namespace sluice::worker
