// One connection to Redis. Internal to this folder.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/redis/redis.h"

struct redisContext;

namespace sluice {

// Not safe for concurrent use. Non-blocking underneath, so that every wait ends exactly at its deadline, also
// when the server sends its answer one byte at a time.
class RedisPool::Connection {
 public:
  // Connects, logs in and selects the database. kUnavailable otherwise.
  static Result<std::unique_ptr<Connection>> open(const RedisConfig& config, const Clock& clock,
                                                  Deadline deadline);
  ~Connection();

  // Sends the commands and reads one reply for each. After an error the connection is of no more use.
  // kUnavailable: nothing was sent; kOutcomeUnknown: something was. `timed_out` tells silence from a loss.
  Result<std::vector<RedisReply>> exchange(std::span<const RedisCommand> commands, Deadline deadline,
                                           bool& timed_out);
  // False if the server hung up, or talks unasked, while the connection was idle.
  bool quiet() const;

 private:
  struct Free {
    void operator()(redisContext* context) const;
  };
  Connection(std::unique_ptr<redisContext, Free> context, const Clock& clock);
  // Waits until the socket is ready for one of `events`; 0 = the deadline came.
  int wait_for(short events, Deadline deadline) const;
  Status finish_connecting(Deadline deadline);

  std::unique_ptr<redisContext, Free> context_;
  const Clock& clock_;
};

}  // namespace sluice
