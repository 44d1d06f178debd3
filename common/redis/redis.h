// Redis: commands, pipelines and a small pool. Redis is speed, never truth: every caller has a way on when a
// call here fails, whatever the code.
//
// Errors: kUnavailable   not reachable, or known to be down (then at once): nothing was sent
//         kOutcomeUnknown  sent, but no answer by the deadline or the connection was lost
//         kDeadline      the deadline had passed, or every connection stayed in use until it
//         kExhausted     Redis is out of memory
//         kInternal      Redis refused the command (wrong type, syntax)
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/base/rng.h"
#include "common/base/secret.h"
#include "common/log/log.h"

namespace sluice {

struct RedisConfig {
  std::string host = "127.0.0.1";
  int port = 6379;
  std::string user;  // Empty = the default user.
  Secret password;   // Empty = no AUTH.
  int database = 0;
  int connections_max = 8;
  std::chrono::milliseconds connect_timeout{500};
  // The longest a call may take whatever its deadline: what a slow Redis may cost the hot path.
  std::chrono::milliseconds call_timeout{1000};
  // How long calls fail at once after Redis failed; doubles while it stays down.
  BackoffConfig open_circuit{std::chrono::milliseconds(50), std::chrono::seconds(2), 0.2};
};

struct RedisReply {
  enum class Kind { kNil, kInteger, kString, kArray, kError };
  Kind kind = Kind::kNil;
  std::int64_t integer = 0;
  std::string text;  // kString (also a status such as "OK"), kError.
  std::vector<RedisReply> items;

  bool is_nil() const { return kind == Kind::kNil; }
  bool is_error() const { return kind == Kind::kError; }
};

// A command and its arguments, binary safe: {"SET", key, value, "EX", "60"}.
using RedisCommand = std::vector<std::string>;

// A Lua script and the hash that Redis knows it by.
class RedisScript {
 public:
  explicit RedisScript(std::string text);
  const std::string& text() const { return text_; }
  const std::string& sha1() const { return sha1_; }

 private:
  std::string text_;
  std::string sha1_;  // 40 hex digits.
};

struct RedisStats {
  int connections = 0;
  std::uint64_t commands = 0;
  std::uint64_t connects = 0;
  std::uint64_t failures = 0;         // Calls that met a transport error.
  std::uint64_t short_circuited = 0;  // Calls refused at once because Redis is known to be down.
};

// Safe for concurrent use.
class RedisPool {
 public:
  // Clock and Rng must outlive the pool.
  RedisPool(RedisConfig config, Clock& clock, Rng& rng, Log log);
  ~RedisPool();
  RedisPool(const RedisPool&) = delete;
  RedisPool& operator=(const RedisPool&) = delete;

  // An error reply of Redis is an error here.
  Result<RedisReply> command(const RedisCommand& command, Deadline deadline);
  // All commands in one round trip; one reply for each, in order, error replies among them. It is no
  // transaction: others' commands may run in between, and on an error any of them may have been done.
  Result<std::vector<RedisReply>> pipeline(std::span<const RedisCommand> commands, Deadline deadline);
  // MULTI … EXEC around the commands, in one round trip. kConflict: Redis refused the whole.
  Result<std::vector<RedisReply>> transaction(std::span<const RedisCommand> commands, Deadline deadline);

  // Runs a Lua script by its hash, sending its text only when Redis does not know it yet.
  Result<RedisReply> eval(const RedisScript& script, std::span<const std::string> keys,
                          std::span<const std::string> arguments, Deadline deadline);

  // False while calls fail at once. True promises nothing.
  bool available() const;
  RedisStats stats() const;

 private:
  class Connection;
  Result<std::unique_ptr<Connection>> acquire(Deadline deadline);
  Result<std::unique_ptr<Connection>> connect_reserved(bool probe, Deadline deadline);
  // `down`: the server gave reason to think that it is.
  void give_back(std::unique_ptr<Connection> connection, bool usable, bool down);
  void note_down() REQUIRES(mutex_);
  Result<std::vector<RedisReply>> exchange(std::span<const RedisCommand> commands, Deadline deadline);

  const RedisConfig config_;
  Clock& clock_;
  const Log log_;
  mutable Mutex mutex_;
  std::condition_variable returned_;
  std::vector<std::unique_ptr<Connection>> idle_ GUARDED_BY(mutex_);
  int open_ GUARDED_BY(mutex_) = 0;  // In use, idle, or being opened.
  bool down_ GUARDED_BY(mutex_) = false;
  bool probing_ GUARDED_BY(mutex_) = false;
  SteadyTime next_probe_ GUARDED_BY(mutex_){};
  Backoff backoff_ GUARDED_BY(mutex_);
  RedisStats stats_ GUARDED_BY(mutex_);
};

// What a refusal by Redis means for the caller. Pure; here for tests.
Error redis_error(std::string_view reply);
// Of the first refusal among a pipeline's replies; fine if there is none.
Status first_error(std::span<const RedisReply> replies);
// A command as it goes over the wire, appended to `out`. Pure; here for tests.
void append_redis_command(std::string& out, const RedisCommand& command);

}  // namespace sluice
