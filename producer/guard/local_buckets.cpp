#include "producer/guard/local_buckets.h"

#include <algorithm>
#include <cmath>

namespace sluice::producer {

namespace {
double millis(Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}
}  // namespace

std::int64_t wait_ms(const Charge& charge, double level) {
  const double missing = std::min(charge.cost, charge.quota) - level;
  if (missing <= 0) return 0;
  return static_cast<std::int64_t>(std::ceil(missing * static_cast<double>(charge.window_ms) / charge.quota));
}

void LocalBuckets::make_room(SteadyTime now) {
  if (buckets_.size() < buckets_max_) return;
  std::erase_if(buckets_, [now](const auto& entry) { return entry.second.full_at <= now; });
  if (buckets_.size() >= buckets_max_) buckets_.clear();
}

Result<Charged> LocalBuckets::charge(std::span<const Charge> charges, Deadline) {
  MutexLock lock(mutex_);
  const SteadyTime now = clock_.steady_now();
  make_room(now);
  Charged answer;
  answer.allowed = true;
  for (const Charge& charge : charges) {
    const auto found = buckets_.find(charge.bucket);
    double level = charge.quota;
    if (found != buckets_.end()) {
      const double gained =
          millis(now - found->second.at) * charge.quota / static_cast<double>(charge.window_ms);
      level = std::min(charge.quota, found->second.level + gained);
    }
    answer.levels.push_back(level);
    answer.allowed = answer.allowed && wait_ms(charge, level) == 0;
  }
  if (!answer.allowed) return answer;
  for (std::size_t i = 0; i < charges.size(); ++i) {
    const Charge& charge = charges[i];
    answer.levels[i] -= charge.cost;
    const double full_in =
        (charge.quota - answer.levels[i]) * static_cast<double>(charge.window_ms) / charge.quota;
    buckets_[charge.bucket] = Bucket{answer.levels[i], now,
                                     now + std::chrono::duration_cast<SteadyTime::duration>(
                                               std::chrono::duration<double, std::milli>(full_in))};
  }
  return answer;
}

std::size_t LocalBuckets::size() {
  MutexLock lock(mutex_);
  return buckets_.size();
}

}  // namespace sluice::producer
