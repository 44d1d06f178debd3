#include "producer/api/admission.h"

namespace sluice::producer {

void Admission::refresh(const Key& key) {
  {
    MutexLock lock(mutex_);
    Depth& depth = depths_[key];
    // One counts; the others go by the last number.
    if (depth.counting || clock_.steady_now() < depth.count_at) return;
    depth.counting = true;
    depth.count_at = clock_.steady_now() + config_.count_every;
    depth.admitted = 0;
  }
  const auto counted = store_.count_queued(key.first, key.second, config_.queued_max,
                                           Deadline::in(clock_, config_.call_timeout));
  MutexLock lock(mutex_);
  Depth& depth = depths_[key];
  depth.counting = false;
  depth.counted = counted.value_or(0);
  metrics_.queued.with({key.first, priority_name(key.second)}).set(static_cast<double>(depth.counted));
}

tl::expected<void, Admission::Full> Admission::admit(std::span<const NewJob> jobs) {
  if (config_.queued_max <= 0) return {};
  std::map<Key, std::int64_t> wanted;
  for (const NewJob& fresh : jobs) ++wanted[Key{fresh.job.model, fresh.job.priority}];
  for (const auto& [key, count] : wanted) refresh(key);
  MutexLock lock(mutex_);
  for (const auto& [key, count] : wanted) {
    const Depth& depth = depths_[key];
    const std::int64_t queued = depth.counted + depth.admitted;
    if (queued + count > config_.queued_max) return tl::unexpected(Full{key.first, key.second, queued});
  }
  for (const auto& [key, count] : wanted) depths_[key].admitted += count;
  return {};
}

}  // namespace sluice::producer
