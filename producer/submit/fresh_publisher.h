// How jobs that are being accepted get to the broker without a detour through a database scan.
//
// Around a commit: reserve room, commit, then publish what was reserved (or give the room back). A job
// without a reservation is found by the dispatcher's scan. Safe for concurrent use; nothing here blocks.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "common/job/job.h"
#include "common/store/job_store.h"

namespace sluice::producer {

class FreshPublisher {
 public:
  virtual ~FreshPublisher() = default;
  // How many of `wanted` may be published right after their commit: 0 while older jobs wait, the queue is
  // full, or the broker can't be reached.
  virtual int reserve(const std::string& model, Priority priority, int wanted) = 0;
  // Gives room back that will not be used.
  virtual void release(const std::string& model, Priority priority, int count) = 0;
  // Takes over what was reserved and is now committed. Never fails: what can't be published is found again by
  // the scan.
  virtual void publish(const std::string& model, Priority priority, std::vector<TaskRef> tasks) = 0;
  // Jobs without a reservation were committed: look soon.
  virtual void wake() = 0;
};

}  // namespace sluice::producer
