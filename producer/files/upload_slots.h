// How many uploads may run at a time, in all and of one tenant: each holds a chunk and may hold a connection
// to the database.
//
// Safe for concurrent use.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "common/base/mutex.h"
#include "common/ids/ids.h"
#include "common/metrics/metrics.h"

namespace sluice::producer {

class UploadSlots {
 public:
  UploadSlots(int total_max, int tenant_max, metrics::Gauge running)
      : total_max_(total_max), tenant_max_(tenant_max), running_(std::move(running)) {}

  // One upload's place; free again when it is destroyed. Must not outlive the slots.
  class Slot {
   public:
    Slot(UploadSlots& slots, TenantId tenant) : slots_(&slots), tenant_(std::move(tenant)) {}
    Slot(Slot&& other) noexcept
        : slots_(std::exchange(other.slots_, nullptr)), tenant_(std::move(other.tenant_)) {}
    Slot& operator=(Slot&&) = delete;
    ~Slot() {
      if (slots_ != nullptr) slots_->give_back(tenant_);
    }

   private:
    UploadSlots* slots_;
    TenantId tenant_;
  };
  // Empty: all of them, or all that one tenant may have, are taken.
  std::optional<Slot> take(const TenantId& tenant) EXCLUDES(mutex_);

 private:
  void give_back(const TenantId& tenant) EXCLUDES(mutex_);

  const int total_max_;
  const int tenant_max_;
  const metrics::Gauge running_;
  Mutex mutex_;
  int total_ GUARDED_BY(mutex_) = 0;
  std::map<TenantId, int> by_tenant_ GUARDED_BY(mutex_);
};

}  // namespace sluice::producer
