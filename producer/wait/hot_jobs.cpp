#include "producer/wait/hot_jobs.h"

#include <utility>

#include "common/redis/redis.h"

namespace sluice::producer {

std::string hot_job_key(const JobId& id) {
  return "sluice:job:" + id.value;
}

std::vector<std::optional<Job>> RedisHotJobs::find(std::span<const JobId> ids, Deadline deadline) {
  std::vector<std::optional<Job>> found(ids.size());
  if (ids.empty()) return found;
  RedisCommand command{"MGET"};
  command.reserve(ids.size() + 1);
  for (const JobId& id : ids) command.push_back(hot_job_key(id));
  const auto reply = redis_.command(command, deadline);
  if (!reply || reply->kind != RedisReply::Kind::kArray || reply->items.size() != ids.size()) return found;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (reply->items[i].kind != RedisReply::Kind::kString) continue;
    auto job = job_from_cache(reply->items[i].text);
    if (job && job->id == ids[i] && is_final(job->state)) found[i] = std::move(*job);
  }
  return found;
}

}  // namespace sluice::producer
