#include "worker/main/redis_result_cache.h"

#include <vector>

namespace sluice::worker {

Status RedisResultCache::put(std::span<const Job> jobs, Deadline deadline) {
  std::vector<RedisCommand> commands;
  commands.reserve(jobs.size());
  for (const Job& job : jobs) {
    commands.push_back({"SET", "sluice:job:" + job.id.value, job_to_cache(job), "EX", "3600"});
  }
  SLUICE_ASSIGN(const std::vector<RedisReply> replies, redis_.pipeline(commands, deadline));
  for (const RedisReply& reply : replies) {
    if (reply.is_error()) return fail(ErrorCode::kInternal, reply.text);
  }
  return {};
}

}  // namespace sluice::worker
