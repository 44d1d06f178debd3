// The dispatcher's account of one broker queue: how much room it has, and who was promised how much of it.
//
// Plain data under the dispatcher's lock.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/job/job.h"
#include "common/store/job_store.h"

namespace sluice::producer {

// Committed with a reservation, on its way to the broker.
struct FreshTask {
  TaskRef ref;
  SteadyTime since{};
};

struct TaskQueue {
  std::string model;
  Priority priority = Priority::kNormal;
  std::string name;
  int scan_max = 0;  // Jobs that one scan takes: the queue's weight among its neighbours.

  std::int64_t ready = -1;     // As measured; -1: not known.
  std::int64_t published = 0;  // Confirmed since it was measured.
  std::int64_t reserved = 0;   // Promised and not yet confirmed, `fresh` included.
  std::vector<FreshTask> fresh;
  // Jobs wait in the database, so that no new one may overtake them. True until a scan has shown otherwise.
  bool backlog = true;
  std::uint64_t misses = 0;  // Reservations that did not fit.

  SteadyTime scan_at{};
  // When it was last seen empty: what was published before that is no longer in it.
  std::optional<SteadyTime> empty_at;
  bool declared = false;

  // Unknown counts as none.
  std::int64_t room(std::int64_t depth_max) const {
    return ready < 0 ? 0 : std::max<std::int64_t>(0, depth_max - ready - published - reserved);
  }
};

}  // namespace sluice::producer
