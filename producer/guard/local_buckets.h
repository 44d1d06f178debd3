// Token buckets in this process's memory: for while Redis is away. Each producer then allows the whole quota.
#pragma once

#include <string>
#include <unordered_map>

#include "common/base/mutex.h"
#include "producer/guard/buckets.h"

namespace sluice::producer {

class LocalBuckets final : public Buckets {
 public:
  // `clock` must outlive it. Beyond `buckets_max` those that are full are forgotten, which changes nothing;
  // if that is not enough, all.
  explicit LocalBuckets(Clock& clock, std::size_t buckets_max = 100'000)
      : clock_(clock), buckets_max_(buckets_max) {}

  // Never fails.
  Result<Charged> charge(std::span<const Charge> charges, Deadline deadline) override EXCLUDES(mutex_);
  std::size_t size() EXCLUDES(mutex_);

 private:
  struct Bucket {
    double level = 0;
    SteadyTime at{};
    SteadyTime full_at{};
  };
  void make_room(SteadyTime now) REQUIRES(mutex_);

  Clock& clock_;
  const std::size_t buckets_max_;
  Mutex mutex_;
  std::unordered_map<std::string, Bucket> buckets_ GUARDED_BY(mutex_);
};

}  // namespace sluice::producer
