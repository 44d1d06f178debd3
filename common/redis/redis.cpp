#include "common/redis/redis.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <functional>

#include "common/base/check.h"
#include "common/redis/connection.h"

namespace sluice {

Error redis_error(std::string_view reply) {
  const std::string_view word = reply.substr(0, reply.find(' '));
  const auto is_one_of = [&](std::initializer_list<std::string_view> words) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  ErrorCode code = ErrorCode::kInternal;
  if (is_one_of({"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "READONLY", "BUSY", "NOAUTH",
                 "WRONGPASS", "NOREPLICAS", "MISCONF"})) {
    code = ErrorCode::kUnavailable;
  } else if (word == "OOM") {
    code = ErrorCode::kExhausted;
  } else if (word == "NOSCRIPT") {
    code = ErrorCode::kNotFound;
  } else if (word == "EXECABORT") {
    code = ErrorCode::kConflict;
  }
  // What follows a quote repeats an argument, which may be anything.
  return Error{code, "redis: " + std::string(reply.substr(0, reply.find_first_of("'`\"")))};
}

Status first_error(std::span<const RedisReply> replies) {
  const auto refused = std::find_if(replies.begin(), replies.end(), std::mem_fn(&RedisReply::is_error));
  if (refused == replies.end()) return {};
  return fail(redis_error(refused->text));
}

void append_redis_command(std::string& out, const RedisCommand& command) {
  out.append("*").append(std::to_string(command.size())).append("\r\n");
  for (const std::string& argument : command) {
    out.append("$").append(std::to_string(argument.size())).append("\r\n").append(argument).append("\r\n");
  }
}

RedisScript::RedisScript(std::string text) : text_(std::move(text)) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  SLUICE_CHECK(EVP_Digest(text_.data(), text_.size(), digest.data(), &size, EVP_sha1(), nullptr) == 1);
  for (unsigned i = 0; i < size; ++i) {
    sha1_.push_back(kHex[digest[i] >> 4]);
    sha1_.push_back(kHex[digest[i] & 15]);
  }
}

RedisPool::RedisPool(RedisConfig config, Clock& clock, Rng& rng, Log log)
    : config_(std::move(config)),
      clock_(clock),
      log_(log.with({{"component", "redis"}, {"host", config_.host}, {"port", config_.port}})),
      backoff_(config_.open_circuit, rng) {}

RedisPool::~RedisPool() = default;

void RedisPool::note_down() {
  const SteadyTime now = clock_.steady_now();
  // Several calls may have met the same outage: one step of the backoff.
  if (!down_ || now >= next_probe_) next_probe_ = now + backoff_.next();
  down_ = true;
}

Result<std::unique_ptr<RedisPool::Connection>> RedisPool::acquire(Deadline deadline) {
  bool probe = false;
  {
    MutexLock lock(mutex_);
    for (;;) {
      if (deadline.passed(clock_)) return fail(ErrorCode::kDeadline, "redis: no connection by the deadline");
      if (down_ && (probing_ || clock_.steady_now() < next_probe_)) {
        ++stats_.short_circuited;
        return fail(ErrorCode::kUnavailable, "redis can't be reached; trying again soon");
      }
      if (!idle_.empty()) {
        auto connection = std::move(idle_.back());
        idle_.pop_back();
        if (connection->quiet()) return connection;
        --open_;  // Closed behind our back: a restart, or the server's idle timeout.
        continue;
      }
      if (open_ < config_.connections_max) break;
      lock.wait_until(clock_, returned_, deadline.at());
    }
    ++open_;
    probe = down_;
    if (probe) probing_ = true;
  }
  return connect_reserved(probe, deadline);
}

// Opens the connection for which `open_` was raised.
Result<std::unique_ptr<RedisPool::Connection>> RedisPool::connect_reserved(bool probe, Deadline deadline) {
  const SteadyTime longest = clock_.steady_now() + config_.connect_timeout;
  auto opened = Connection::open(config_, clock_, Deadline(std::min(longest, deadline.at())));
  bool back = false;
  {
    MutexLock lock(mutex_);
    if (probe) probing_ = false;
    if (opened) {
      ++stats_.connects;
      back = down_;
      down_ = false;
      backoff_.reset();
    } else {
      --open_;
      ++stats_.failures;
      note_down();
    }
  }
  if (opened) {
    if (back) log_.info("redis_connected");
    return opened;
  }
  returned_.notify_all();
  log_.warn_limited("redis_connect_failed", {{"error", opened.error().message}});
  return opened;
}

void RedisPool::give_back(std::unique_ptr<Connection> connection, bool usable, bool down) {
  std::vector<std::unique_ptr<Connection>> dropped;
  {
    MutexLock lock(mutex_);
    if (usable) {
      idle_.push_back(std::move(connection));
      if (down_ && clock_.steady_now() >= next_probe_) {
        down_ = false;
        backoff_.reset();
      }
    } else {
      --open_;
      ++stats_.failures;
      if (down) {
        note_down();
        open_ -= static_cast<int>(idle_.size());
        dropped.swap(idle_);  // They hang on the same server.
      }
    }
  }
  returned_.notify_all();
}

Result<std::vector<RedisReply>> RedisPool::exchange(std::span<const RedisCommand> commands,
                                                    Deadline deadline) {
  if (commands.empty()) return std::vector<RedisReply>{};
  const SteadyTime start = clock_.steady_now();
  const Deadline bounded(std::min(deadline.at(), start + config_.call_timeout));
  SLUICE_ASSIGN(auto connection, acquire(bounded));
  bool timed_out = false;
  auto replies = connection->exchange(commands, bounded, timed_out);
  // A caller in a hurry proves nothing about Redis; a long silence or a lost connection does.
  const bool down = !replies && (!timed_out || clock_.steady_now() - start >= config_.call_timeout / 2);
  give_back(std::move(connection), replies.has_value(), down);
  if (!replies) {
    log_.warn_limited("redis_call_failed", {{"error", replies.error().message}});
    return replies;
  }
  MutexLock lock(mutex_);
  stats_.commands += commands.size();
  return replies;
}

Result<RedisReply> RedisPool::command(const RedisCommand& command, Deadline deadline) {
  SLUICE_ASSIGN(auto replies, exchange(std::span(&command, 1), deadline));
  if (replies[0].is_error()) return fail(redis_error(replies[0].text));
  return std::move(replies[0]);
}

Result<std::vector<RedisReply>> RedisPool::pipeline(std::span<const RedisCommand> commands,
                                                    Deadline deadline) {
  return exchange(commands, deadline);
}

Result<std::vector<RedisReply>> RedisPool::transaction(std::span<const RedisCommand> commands,
                                                       Deadline deadline) {
  if (commands.empty()) return std::vector<RedisReply>{};
  std::vector<RedisCommand> wrapped;
  wrapped.reserve(commands.size() + 2);
  wrapped.push_back({"MULTI"});
  wrapped.insert(wrapped.end(), commands.begin(), commands.end());
  wrapped.push_back({"EXEC"});
  SLUICE_ASSIGN(auto replies, exchange(wrapped, deadline));
  RedisReply& done = replies.back();
  if (done.is_error()) return fail(redis_error(done.text));
  if (done.kind != RedisReply::Kind::kArray) return fail(ErrorCode::kConflict, "redis: EXEC was refused");
  return std::move(done.items);
}

Result<RedisReply> RedisPool::eval(const RedisScript& script, std::span<const std::string> keys,
                                   std::span<const std::string> arguments, Deadline deadline) {
  RedisCommand call{"EVALSHA", script.sha1(), std::to_string(keys.size())};
  call.insert(call.end(), keys.begin(), keys.end());
  call.insert(call.end(), arguments.begin(), arguments.end());
  auto reply = command(call, deadline);
  if (reply || reply.error().code != ErrorCode::kNotFound) return reply;
  call[0] = "EVAL";
  call[1] = script.text();
  return command(call, deadline);
}

bool RedisPool::available() const {
  MutexLock lock(mutex_);
  return !down_ || (!probing_ && clock_.steady_now() >= next_probe_);
}

RedisStats RedisPool::stats() const {
  MutexLock lock(mutex_);
  RedisStats stats = stats_;
  stats.connections = open_;
  return stats;
}

}  // namespace sluice
