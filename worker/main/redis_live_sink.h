// Live text in Redis streams, one for each generation of a job (common/live). Each lives for an hour.
#pragma once

#include "common/redis/redis.h"
#include "worker/consumer/live_sink.h"

namespace sluice::worker {

class RedisLiveSink final : public LiveSink {
 public:
  explicit RedisLiveSink(RedisPool& redis) : redis_(redis) {}  // `redis` must outlive this.
  Result<std::vector<bool>> put(std::span<const Write> writes, Deadline deadline) override;
  Result<std::vector<bool>> watched(std::span<const JobId> ids, Deadline deadline) override;

 private:
  RedisPool& redis_;
};

}  // namespace sluice::worker
