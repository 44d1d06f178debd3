// Token buckets in Redis, shared by all producers of a region, on Redis' clock: one script, one round trip.
#pragma once

#include "common/redis/redis.h"
#include "producer/guard/buckets.h"

namespace sluice::producer {

class RedisBuckets final : public Buckets {
 public:
  // `redis` must outlive it.
  explicit RedisBuckets(RedisPool& redis) : redis_(redis) {}

  Result<Charged> charge(std::span<const Charge> charges, Deadline deadline) override;

 private:
  RedisPool& redis_;
};

}  // namespace sluice::producer
