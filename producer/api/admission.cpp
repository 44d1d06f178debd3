#include "producer/api/admission.h"

namespace sluice::producer {

namespace {
constexpr std::int64_t kCountMax = 1'000'000;  // Where nothing is limited, counting still is.
}  // namespace

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
  const std::int64_t count_max = config_.queued_max > 0 ? config_.queued_max : kCountMax;
  const auto counted =
      store_.count_queued(key.first, key.second, count_max, Deadline::in(clock_, config_.call_timeout));
  MutexLock lock(mutex_);
  Depth& depth = depths_[key];
  depth.counting = false;
  depth.counted = counted.value_or(0);
  if (counted)
    metrics_.queued.with({key.first, priority_name(key.second)}).set(static_cast<double>(*counted));
}

void Admission::measure(std::span<const std::string> models) {
  for (const std::string& model : models) {
    for (int p = 0; p < kPriorities; ++p) refresh({model, static_cast<Priority>(p)});
  }
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
