#include "common/redis/connection.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace sluice {

namespace {

struct FreeReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};

RedisReply value_of(const redisReply& reply) {
  RedisReply value;
  switch (reply.type) {
    case REDIS_REPLY_NIL:
      break;
    case REDIS_REPLY_INTEGER:
      value.kind = RedisReply::Kind::kInteger;
      value.integer = reply.integer;
      break;
    case REDIS_REPLY_ARRAY:
      value.kind = RedisReply::Kind::kArray;
      value.items.reserve(reply.elements);
      for (std::size_t i = 0; i < reply.elements; ++i) value.items.push_back(value_of(*reply.element[i]));
      break;
    case REDIS_REPLY_ERROR:
      value.kind = RedisReply::Kind::kError;
      value.text.assign(reply.str, reply.len);
      break;
    default:
      value.kind = RedisReply::Kind::kString;
      value.text.assign(reply.str, reply.len);
      break;
  }
  return value;
}

std::string why(int error_number) {
  char text[128];
  return strerror_r(error_number, text, sizeof text);
}

}  // namespace

void RedisPool::Connection::Free::operator()(redisContext* context) const {
  redisFree(context);
}

RedisPool::Connection::Connection(std::unique_ptr<redisContext, Free> context, const Clock& clock)
    : context_(std::move(context)), clock_(clock) {}

RedisPool::Connection::~Connection() = default;

int RedisPool::Connection::wait_for(short events, Deadline deadline) const {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline.remaining(clock_)).count();
    pollfd wanted{context_->fd, events, 0};
    const int ready = poll(&wanted, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000)));
    if (ready > 0) return wanted.revents;
    if (ready < 0 && errno != EINTR) return POLLERR;
    if (deadline.passed(clock_)) return 0;
  }
}

Status RedisPool::Connection::finish_connecting(Deadline deadline) {
  if (wait_for(POLLOUT, deadline) == 0) return fail(ErrorCode::kUnavailable, "redis: connecting timed out");
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(context_->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) return fail(ErrorCode::kUnavailable, "redis: " + why(error));
  const int yes = 1;
  setsockopt(context_->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  setsockopt(context_->fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
  return {};
}

Result<std::unique_ptr<RedisPool::Connection>> RedisPool::Connection::open(const RedisConfig& config,
                                                                           const Clock& clock,
                                                                           Deadline deadline) {
  std::unique_ptr<redisContext, Free> context(redisConnectNonBlock(config.host.c_str(), config.port));
  if (!context) return fail(ErrorCode::kUnavailable, "redis: no memory for a connection");
  if (context->err != 0) return fail(ErrorCode::kUnavailable, std::string("redis: ") + context->errstr);
  std::unique_ptr<Connection> connection(new Connection(std::move(context), clock));
  SLUICE_TRY(connection->finish_connecting(deadline));

  std::vector<RedisCommand> login;
  if (!config.password.empty()) {
    RedisCommand auth{"AUTH"};
    if (!config.user.empty()) auth.push_back(config.user);
    auth.push_back(config.password.reveal());
    login.push_back(std::move(auth));
  }
  if (config.database != 0) login.push_back({"SELECT", std::to_string(config.database)});
  login.push_back({"CLIENT", "SETNAME", "sluice"});
  bool timed_out = false;
  auto replies = connection->exchange(login, deadline, timed_out);
  if (!replies) return fail(ErrorCode::kUnavailable, replies.error().message);
  for (const RedisReply& reply : *replies) {
    if (reply.is_error()) return fail(ErrorCode::kUnavailable, redis_error(reply.text).message);
  }
  return connection;
}

bool RedisPool::Connection::quiet() const {
  pollfd wanted{context_->fd, POLLIN, 0};
  return poll(&wanted, 1, 0) == 0;
}

Result<std::vector<RedisReply>> RedisPool::Connection::exchange(std::span<const RedisCommand> commands,
                                                                Deadline deadline, bool& timed_out) {
  std::string request;
  for (const RedisCommand& command : commands) append_redis_command(request, command);
  std::vector<RedisReply> replies;
  replies.reserve(commands.size());
  std::size_t sent = 0;
  const auto lost = [&](std::string reason) {
    return fail(sent == 0 ? ErrorCode::kUnavailable : ErrorCode::kOutcomeUnknown,
                "redis: " + std::move(reason));
  };
  while (replies.size() < commands.size()) {
    // Answers are read while commands are still being sent: with both buffers full nobody would ever move.
    const short events = static_cast<short>(POLLIN | (sent < request.size() ? POLLOUT : 0));
    const int ready = wait_for(events, deadline);
    if (ready == 0) {
      timed_out = true;
      return lost("no answer by the deadline");
    }
    if ((ready & POLLOUT) != 0) {
      const ssize_t took =
          send(context_->fd, request.data() + sent, request.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (took < 0 && errno != EAGAIN && errno != EINTR) return lost(why(errno));
      if (took > 0) sent += static_cast<std::size_t>(took);
    }
    if ((ready & ~POLLOUT) == 0) continue;
    if (redisBufferRead(context_.get()) != REDIS_OK) return lost(context_->errstr);
    for (;;) {
      void* raw = nullptr;
      if (redisGetReplyFromReader(context_.get(), &raw) != REDIS_OK) return lost(context_->errstr);
      if (raw == nullptr) break;
      const std::unique_ptr<redisReply, FreeReply> reply(static_cast<redisReply*>(raw));
      if (replies.size() == commands.size()) return lost("more answers than commands");
      replies.push_back(value_of(*reply));
    }
  }
  return replies;
}

}  // namespace sluice
