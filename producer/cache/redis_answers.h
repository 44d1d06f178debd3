// The copies that workers put into Redis as they end jobs.
#pragma once

#include "common/redis/redis.h"
#include "producer/cache/shared_answers.h"

namespace sluice::producer {

class RedisAnswers final : public SharedAnswers {
 public:
  explicit RedisAnswers(RedisPool& redis) : redis_(redis) {}  // `redis` must outlive it.
  std::vector<std::optional<Answer>> find(std::span<const std::string> keys, Deadline deadline) override;

 private:
  RedisPool& redis_;
};

}  // namespace sluice::producer
