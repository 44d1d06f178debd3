// Says every second that the held jobs live, and hears which of them are no longer ours: cancelled by a
// client, expired, or rescued after we were silent for too long. Those leave the engine at its next step.
//
// While the database can't be reached the work goes on; if that lasts longer than the lease, the results are
// found to be lost when they are written.
//
// Everything given to the constructor must outlive it. start/stop as of Loop.
#pragma once

#include <chrono>
#include <string>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/log/log.h"
#include "common/store/job_store.h"
#include "worker/batcher/batcher.h"
#include "worker/consumer/held_jobs.h"
#include "worker/consumer/metrics.h"
#include "worker/consumer/task_source.h"

namespace sluice::worker {

struct LeaseConfig {
  std::string worker_id;
  std::chrono::milliseconds interval{1'000};
  std::chrono::milliseconds store_timeout{
      4'000};  // Well below the lease (15 s), so that another try fits in.
  // The broker closes the channel of whoever leaves a message unacked for 30 minutes.
  std::chrono::milliseconds ack_after{600'000};
};

class LeaseKeeper {
 public:
  LeaseKeeper(LeaseConfig config, JobStore& store, HeldJobs& held, Batcher& batcher, TaskSource& source,
              Clock& clock, Log log, WorkerMetrics metrics);
  void start() { loop_.start(); }
  void stop() { loop_.stop(); }

  // One round. Returns the pause until the next.
  Duration beat();

 private:
  void ack_long_running();

  const LeaseConfig config_;
  JobStore& store_;
  HeldJobs& held_;
  Batcher& batcher_;
  TaskSource& source_;
  Clock& clock_;
  const Log log_;
  const WorkerMetrics metrics_;
  Loop loop_;
};

}  // namespace sluice::worker
