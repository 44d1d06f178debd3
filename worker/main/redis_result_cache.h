// Ended jobs in Redis, for an hour each, and results that others share, where the producers look first.
#pragma once

#include "common/redis/redis.h"
#include "worker/consumer/result_cache.h"

namespace sluice::worker {

class RedisResultCache final : public ResultCache {
 public:
  explicit RedisResultCache(RedisPool& redis) : redis_(redis) {}  // `redis` must outlive this.
  Status put(std::span<const EndingResult> ended, Deadline deadline) override;

 private:
  RedisPool& redis_;
};

}  // namespace sluice::worker
