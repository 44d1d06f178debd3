// How jobs that are being accepted get to the broker without a detour through a database scan.
//
// Around a commit: reserve room, commit, then publish what was reserved (or give the room back). A job
// without a reservation is found by the dispatcher's scan. Safe for concurrent use; nothing here blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/ids/ids.h"
#include "common/job/job.h"
#include "common/store/job_store.h"

namespace sluice::producer {

class FreshPublisher {
 public:
  virtual ~FreshPublisher() = default;
  // How many of a tenant's jobs, the first of them, may be published right after their commit; `tokens` has
  // for each what it may cost. 0 while older jobs of the tenant wait, it had its share while others wait, the
  // queue is full, or the broker can't be reached.
  virtual int reserve(const std::string& model, Priority priority, const TenantId& tenant,
                      const std::vector<std::int64_t>& tokens) = 0;
  // Gives room back that will not be used.
  virtual void release(const std::string& model, Priority priority, int count) = 0;
  // Takes over what was reserved and is now committed. Never fails: what can't be published is found again by
  // the scan.
  virtual void publish(const std::string& model, Priority priority, std::vector<TaskRef> tasks) = 0;
  // Jobs without a reservation were committed: look soon.
  virtual void wake() = 0;
};

}  // namespace sluice::producer
