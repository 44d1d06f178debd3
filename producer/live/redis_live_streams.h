// LiveStreams in Redis. Each entry is read by XREAD, without blocking: one call serves all jobs.
#pragma once

#include "producer/live/live_streams.h"

namespace sluice {
class RedisPool;
}

namespace sluice::producer {

class RedisLiveStreams final : public LiveStreams {
 public:
  // `redis` must outlive it. It should have connections that nobody else waits for.
  explicit RedisLiveStreams(RedisPool& redis) : redis_(redis) {}
  Result<std::vector<News>> read(std::span<const Place> places, Deadline deadline) override;
  Status ask_for(std::span<const JobId> ids, Deadline deadline) override;

 private:
  RedisPool& redis_;
};

}  // namespace sluice::producer
