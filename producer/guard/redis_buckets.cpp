#include "producer/guard/redis_buckets.h"

#include <charconv>
#include <cstdlib>

namespace sluice::producer {

namespace {

// KEYS: the buckets; ARGV: quota, window in ms and cost of each. A bucket that is full again expires: a
// missing one is full. Answers {1 or 0, level, level, …}.
constexpr const char* kScript = R"(
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local levels, allowed = {}, 1
for i, key in ipairs(KEYS) do
  local quota, window, cost = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local kept = redis.call('HMGET', key, 'level', 'at')
  local level = quota
  if kept[1] and kept[2] then
    level = math.min(quota, tonumber(kept[1]) + math.max(0, now - tonumber(kept[2])) * quota / window)
  end
  levels[i] = level
  if level < math.min(cost, quota) then allowed = 0 end
end
local answer = {allowed}
for i, key in ipairs(KEYS) do
  local quota, window, cost = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  if allowed == 1 then
    levels[i] = levels[i] - cost
    redis.call('HSET', key, 'level', string.format('%.6f', levels[i]), 'at', string.format('%.0f', now))
    redis.call('PEXPIRE', key, math.ceil((quota - levels[i]) * window / quota) + 1000)
  end
  answer[i + 1] = string.format('%.6f', levels[i])
end
return answer
)";

const RedisScript& script() {
  static const RedisScript made(kScript);
  return made;
}

}  // namespace

Result<Charged> RedisBuckets::charge(std::span<const Charge> charges, Deadline deadline) {
  std::vector<std::string> keys;
  std::vector<std::string> arguments;
  for (const Charge& charge : charges) {
    keys.push_back(charge.bucket);
    arguments.push_back(std::to_string(charge.quota));
    arguments.push_back(std::to_string(charge.window_ms));
    arguments.push_back(std::to_string(charge.cost));
  }
  SLUICE_ASSIGN(const RedisReply reply, redis_.eval(script(), keys, arguments, deadline));
  if (reply.items.size() != charges.size() + 1) {
    return fail(ErrorCode::kInternal, "redis: the script of the buckets answered something else");
  }
  Charged answer;
  answer.allowed = reply.items[0].integer == 1;
  for (std::size_t i = 1; i < reply.items.size(); ++i) {
    answer.levels.push_back(std::strtod(reply.items[i].text.c_str(), nullptr));
  }
  return answer;
}

}  // namespace sluice::producer
