#include "producer/cache/redis_answers.h"

#include <utility>

namespace sluice::producer {

std::vector<std::optional<Answer>> RedisAnswers::find(std::span<const std::string> keys, Deadline deadline) {
  std::vector<std::optional<Answer>> found(keys.size());
  if (keys.empty()) return found;
  RedisCommand command{"MGET"};
  command.insert(command.end(), keys.begin(), keys.end());
  const auto reply = redis_.command(command, deadline);
  if (!reply || reply->kind != RedisReply::Kind::kArray || reply->items.size() != keys.size()) return found;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (reply->items[i].kind != RedisReply::Kind::kString) continue;
    if (auto answer = answer_from_cache(reply->items[i].text)) found[i] = std::move(*answer);
  }
  return found;
}

}  // namespace sluice::producer
