#include "producer/files/upload_slots.h"

namespace sluice::producer {

std::optional<UploadSlots::Slot> UploadSlots::take(const TenantId& tenant) {
  MutexLock lock(mutex_);
  if (total_ >= total_max_) return std::nullopt;
  int& of_tenant = by_tenant_[tenant];
  if (of_tenant >= tenant_max_) return std::nullopt;
  ++of_tenant;
  running_.set(++total_);
  return Slot(*this, tenant);
}

void UploadSlots::give_back(const TenantId& tenant) {
  MutexLock lock(mutex_);
  const auto found = by_tenant_.find(tenant);
  if (--found->second == 0) by_tenant_.erase(found);
  running_.set(--total_);
}

}  // namespace sluice::producer
