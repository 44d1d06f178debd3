// Says every second that this worker is there and how much it holds, and hears whether an operator has it
// drained: then it finishes what it has and takes nothing new, until it is told otherwise. While the database
// can't be reached it stays as it was told last.
//
// Everything given to the constructor must outlive it. start/stop as of Loop.
#pragma once

#include <chrono>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/log/log.h"
#include "common/store/fleet_store.h"
#include "worker/consumer/job_runner.h"

namespace sluice::worker {

struct PresenceConfig {
  std::chrono::milliseconds interval{1'000};
  std::chrono::milliseconds store_timeout{2'000};
};

class Presence {
 public:
  // `self` without `held_jobs`.
  Presence(PresenceConfig config, WorkerBeat self, FleetStore& fleet, JobRunner& runner, Clock& clock,
           Log log);
  void start() { loop_.start(); }
  void stop() { loop_.stop(); }
  // It will not be heard of again. After stop(); if it fails, the record finds out by the silence.
  void sign_off();

  // One round. Returns the pause until the next.
  Duration beat();

 private:
  const PresenceConfig config_;
  WorkerBeat self_;
  FleetStore& fleet_;
  JobRunner& runner_;
  Clock& clock_;
  const Log log_;
  Loop loop_;
};

}  // namespace sluice::worker
