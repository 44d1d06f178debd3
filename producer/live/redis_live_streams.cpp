#include "producer/live/redis_live_streams.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "common/redis/redis.h"

namespace sluice::producer {

namespace {

constexpr std::size_t kKeysMax = 200;      // In one XREAD.
constexpr const char* kEntriesMax = "64";  // Of each stream in one answer; the next read goes on behind.
const std::string kWatchedSeconds = std::to_string(LiveStreams::kWatchedFor.count());

std::vector<std::string> texts_of(std::vector<RedisReply>& items) {
  std::vector<std::string> texts;
  texts.reserve(items.size());
  for (RedisReply& item : items) texts.push_back(std::move(item.text));
  return texts;
}

// [key, [[id, [name, value, …]], …]]
void take_stream(RedisReply& stream, LiveStreams::News& news) {
  if (stream.items.size() != 2) return;
  for (RedisReply& entry : stream.items[1].items) {
    if (entry.items.size() != 2) continue;
    news.last = entry.items[0].text;
    // One that can't be read is passed over; what it held shows as a gap.
    if (auto live = live_text_from(texts_of(entry.items[1].items))) news.entries.push_back(std::move(*live));
  }
}

}  // namespace

Result<std::vector<LiveStreams::News>> RedisLiveStreams::read(std::span<const Place> places,
                                                              Deadline deadline) {
  std::vector<News> all;
  if (places.empty()) return all;
  std::vector<RedisCommand> commands;
  std::unordered_map<std::string_view, std::size_t> index;
  for (std::size_t at = 0; at < places.size(); at += kKeysMax) {
    const auto part = places.subspan(at, std::min(kKeysMax, places.size() - at));
    RedisCommand command{"XREAD", "COUNT", kEntriesMax, "STREAMS"};
    for (const Place& place : part) command.push_back(place.key);
    for (const Place& place : part) command.push_back(place.after);
    commands.push_back(std::move(command));
  }
  for (std::size_t i = 0; i < places.size(); ++i) index.emplace(places[i].key, i);
  SLUICE_ASSIGN(std::vector<RedisReply> replies, redis_.pipeline(commands, deadline));
  SLUICE_TRY(first_error(replies));
  for (RedisReply& reply : replies) {
    for (RedisReply& stream : reply.items) {
      if (stream.items.empty()) continue;
      const auto found = index.find(stream.items[0].text);
      if (found == index.end()) continue;
      News news;
      news.place = found->second;
      take_stream(stream, news);
      if (!news.last.empty()) all.push_back(std::move(news));
    }
  }
  return all;
}

Status RedisLiveStreams::ask_for(std::span<const JobId> ids, Deadline deadline) {
  if (ids.empty()) return {};
  std::vector<RedisCommand> commands;
  commands.reserve(ids.size());
  for (const JobId& id : ids) commands.push_back({"SET", live_watch_key(id), "1", "EX", kWatchedSeconds});
  SLUICE_ASSIGN(const std::vector<RedisReply> replies, redis_.pipeline(commands, deadline));
  return first_error(replies);
}

}  // namespace sluice::producer
