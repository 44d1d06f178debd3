#include "worker/main/redis_result_cache.h"

#include <vector>

namespace sluice::worker {

Status RedisResultCache::put(std::span<const EndingResult> ended, Deadline deadline) {
  std::vector<RedisCommand> commands;
  commands.reserve(ended.size());
  for (const EndingResult& one : ended) {
    const Job& job = *one.job;
    // Of a response none counts, so that it can be deleted.
    if (job.surface != Surface::kResponse) {
      commands.push_back({"SET", "sluice:job:" + job.id.value, job_to_cache(job), "EX", "3600"});
    }
    const std::int64_t fresh_s = (one.answer_until_us - job.finished_us) / 1'000'000;
    if (!job.result || fresh_s <= 0) continue;
    commands.push_back({"SET", answer_cache_key(job.tenant, one.answer_key),
                        answer_to_cache({job.id, one.answer_until_us, *job.result}), "EX",
                        std::to_string(fresh_s)});
  }
  if (commands.empty()) return {};
  SLUICE_ASSIGN(const std::vector<RedisReply> replies, redis_.pipeline(commands, deadline));
  return first_error(replies);
}

}  // namespace sluice::worker
