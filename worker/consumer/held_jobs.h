// The starts that this worker has claimed and not yet ended: what its heartbeats speak for.
//
// Safe for concurrent use.
#pragma once

#include <condition_variable>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/rabbitmq/message.h"
#include "common/store/job_store.h"

namespace sluice::worker {

// What names a start inside this process, and in the engine.
std::string start_key(const TaskRef& ref);

struct HeldJob {
  TaskRef ref;
  DeliveryTag tag;
  bool acked = false;  // Before its time, because it runs for long.
  SteadyTime received{};
  bool ending = false;  // Its ending is being written: only the store's answer counts now.
  bool lost = false;    // Another one has it, or nobody needs it any more.
};

class HeldJobs {
 public:
  // Answers the keys of older starts of the same job: this worker lost them, or there could be no newer one.
  std::vector<std::string> add(HeldJob job);
  bool has(const std::string& key) const;
  std::optional<HeldJob> remove(const std::string& key);

  // `key` is about to be written. Nullopt: not held.
  std::optional<HeldJob> begin_ending(const std::string& key);
  // All but the lost ones.
  std::vector<TaskRef> refs() const;
  // Those among `asked` that the store no longer leases to us. Those whose ending is being written are left
  // out, and each is told once.
  std::vector<TaskRef> mark_lost(const std::vector<TaskRef>& asked, const std::vector<TaskRef>& still_ours);
  // Those received before `before` whose messages are not acked; they count as acked from now on.
  std::vector<DeliveryTag> ack_older(SteadyTime before);

  std::size_t size() const;
  // True: nothing is held any more.
  bool wait_empty(Clock& clock, SteadyTime until);

 private:
  mutable Mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, HeldJob> jobs_ GUARDED_BY(mutex_);
};

}  // namespace sluice::worker
