// The dispatcher's account of one broker queue: how much room it has, who was promised how much of it, and
// which tenants wait for it.
//
// Plain data under the dispatcher's lock.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/job/job.h"
#include "common/store/job_store.h"
#include "producer/dispatch/fair_share.h"

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
  // Messages that it should hold now, within these bounds. What is in the broker can't be overtaken any more,
  // so it is as few as keep the workers from waiting for the next scan.
  std::int64_t depth = 0;
  std::int64_t depth_min = 0;
  std::int64_t depth_max = 0;
  int starved = 0;  // Measurements in a row that found all gone that was published since the one before.

  std::int64_t ready = -1;     // As measured; -1: not known.
  std::int64_t published = 0;  // Confirmed since it was measured.
  std::int64_t reserved = 0;   // Promised and not yet confirmed, `fresh` included.
  std::vector<FreshTask> fresh;

  // Tenants of our shards whose jobs wait in the database.
  FairShare fair{1};
  // Others' jobs wait there, too, or may: no new one may overtake them. True until a scan has shown
  // otherwise.
  bool foreign = true;
  std::uint64_t foreign_misses = 0;  // Reservations of such tenants that did not fit.

  // The loop's own: where the look for waiting tenants goes on, and what it found since its beginning.
  TenantId look_after;
  bool foreign_seen = false;
  // Tenants that the last look found, and those of which nothing could be had although it did (all of it is
  // of a paused batch): they are looked at again only after a while.
  std::set<TenantId> found;
  std::map<TenantId, SteadyTime> barren_until;
  std::uint64_t foreign_misses_before = 0;

  SteadyTime scan_at{};
  // When it was last seen empty: what was published before that is no longer in it.
  std::optional<SteadyTime> empty_at;
  bool declared = false;

  bool backlog() const { return foreign || fair.waiting() > 0; }
  // Unknown counts as none.
  std::int64_t room() const;
  // Takes in what the broker says, and fits the depth to how fast the queue empties.
  void measured(std::int64_t ready_now);
};

}  // namespace sluice::producer
