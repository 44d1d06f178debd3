#include "worker/main/redis_live_sink.h"

#include <utility>

namespace sluice::worker {

Result<std::vector<bool>> RedisLiveSink::put(std::span<const Write> writes, Deadline deadline) {
  std::vector<RedisCommand> commands;
  std::vector<std::size_t> at;  // Which command puts each.
  for (const Write& write : writes) {
    const std::string key = live_text_key(write.id, write.generation);
    RedisCommand add{"XADD", key};
    // A stream that is gone must not begin in the midst of the text.
    if (!write.afresh) add.push_back("NOMKSTREAM");
    add.push_back("*");
    for (std::string& field : live_text_fields(write.live)) add.push_back(std::move(field));
    at.push_back(commands.size());
    commands.push_back(std::move(add));
    if (!write.afresh) continue;
    // Trimmed, not made anew: ids must go on growing for those who have read up to one.
    commands.push_back({"XTRIM", key, "MAXLEN", "1"});
    commands.push_back({"EXPIRE", key, "3600"});
  }
  SLUICE_ASSIGN(const std::vector<RedisReply> replies, redis_.pipeline(commands, deadline));
  SLUICE_TRY(first_error(replies));
  std::vector<bool> done;
  done.reserve(writes.size());
  for (const std::size_t index : at) done.push_back(!replies[index].is_nil());
  return done;
}

Result<std::vector<bool>> RedisLiveSink::watched(std::span<const JobId> ids, Deadline deadline) {
  RedisCommand command{"MGET"};
  command.reserve(ids.size() + 1);
  for (const JobId& id : ids) command.push_back(live_watch_key(id));
  SLUICE_ASSIGN(const RedisReply reply, redis_.command(command, deadline));
  std::vector<bool> watched;
  watched.reserve(reply.items.size());
  for (const RedisReply& item : reply.items) watched.push_back(!item.is_nil());
  return watched;
}

}  // namespace sluice::worker
