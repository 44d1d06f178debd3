#include "producer/wait/hot_jobs.h"

#include <charconv>
#include <utility>

#include "common/live/live_text.h"
#include "common/redis/redis.h"

namespace sluice::producer {

namespace {

// Longer than a copy lives (an hour), with room for a worker that writes one late.
constexpr const char* kGenerationSeconds = "10800";

std::int64_t generation_of(const RedisReply& reply) {
  std::int64_t generation = 0;
  if (reply.kind == RedisReply::Kind::kString) {
    std::from_chars(reply.text.data(), reply.text.data() + reply.text.size(), generation);
  }
  return generation;
}

}  // namespace

std::string hot_job_key(const JobId& id) {
  return "sluice:job:" + id.value;
}

std::string hot_generation_key(const JobId& id) {
  return "sluice:generation:" + id.value;
}

std::vector<std::optional<Job>> RedisHotJobs::find(std::span<const JobId> ids, Deadline deadline) {
  std::vector<std::optional<Job>> found(ids.size());
  if (ids.empty()) return found;
  RedisCommand command{"MGET"};
  command.reserve(2 * ids.size() + 1);
  for (const JobId& id : ids) command.push_back(hot_job_key(id));
  for (const JobId& id : ids) command.push_back(hot_generation_key(id));
  const auto reply = redis_.command(command, deadline);
  if (!reply || reply->kind != RedisReply::Kind::kArray || reply->items.size() != 2 * ids.size())
    return found;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (reply->items[i].kind != RedisReply::Kind::kString) continue;
    auto job = job_from_cache(reply->items[i].text);
    if (!job || job->id != ids[i] || !is_final(job->state) || job->surface == Surface::kResponse) continue;
    if (job->generation >= generation_of(reply->items[ids.size() + i])) found[i] = std::move(*job);
  }
  return found;
}

Status RedisHotJobs::forget(const LetterRef& erased, Deadline deadline) {
  RedisCommand command{"DEL", hot_job_key(erased.job_id)};
  for (std::int64_t generation = 1; generation <= erased.generation; ++generation) {
    command.push_back(live_text_key(erased.job_id, generation));
  }
  SLUICE_ASSIGN(const RedisReply reply, redis_.command(command, deadline));
  return reply.is_error() ? fail(ErrorCode::kUnavailable, reply.text) : Status();
}

Status RedisHotJobs::outdate(std::span<const LetterRef> jobs, Deadline deadline) {
  if (jobs.empty()) return {};
  // The generation first: a copy that a slow worker writes after the DEL is outdated already.
  std::vector<RedisCommand> commands;
  RedisCommand forget{"DEL"};
  for (const LetterRef& job : jobs) {
    commands.push_back(
        {"SET", hot_generation_key(job.job_id), std::to_string(job.generation), "EX", kGenerationSeconds});
    forget.push_back(hot_job_key(job.job_id));
  }
  commands.push_back(std::move(forget));
  SLUICE_ASSIGN(const std::vector<RedisReply> replies, redis_.pipeline(commands, deadline));
  return first_error(replies);
}

}  // namespace sluice::producer
