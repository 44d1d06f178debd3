#include "common/redis/redis.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::string_literals;

TEST(RedisCommandText, IsBinarySafe) {
  std::string out;
  append_redis_command(out, {"SET", "a\r\n b", "\0\xff"s});
  append_redis_command(out, {"GET", ""});
  EXPECT_EQ(out, "*3\r\n$3\r\nSET\r\n$5\r\na\r\n b\r\n$2\r\n\0\xff\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n"s);
}

TEST(RedisErrors, SayWhatTheCallerDoesNext) {
  EXPECT_EQ(redis_error("LOADING Redis is loading the dataset in memory").code, ErrorCode::kUnavailable);
  EXPECT_EQ(redis_error("READONLY You can't write against a read only replica.").code,
            ErrorCode::kUnavailable);
  EXPECT_EQ(redis_error("OOM command not allowed when used memory > 'maxmemory'.").code,
            ErrorCode::kExhausted);
  EXPECT_EQ(redis_error("NOSCRIPT No matching script.").code, ErrorCode::kNotFound);
  EXPECT_EQ(redis_error("EXECABORT Transaction discarded").code, ErrorCode::kConflict);
  EXPECT_EQ(redis_error("WRONGTYPE Operation against a key").code, ErrorCode::kInternal);
}

TEST(RedisErrors, TheFirstRefusalOfAPipelineCounts) {
  using Kind = RedisReply::Kind;
  const RedisReply fine{.kind = Kind::kString, .text = "ERR is what was stored"};
  const RedisReply full{.kind = Kind::kError, .text = "OOM command not allowed"};
  const RedisReply wrong{.kind = Kind::kError, .text = "WRONGTYPE Operation against a key"};
  EXPECT_TRUE(first_error({}));
  EXPECT_TRUE(first_error(std::vector{fine, fine}));
  EXPECT_EQ(first_error(std::vector{fine, full, wrong}).error().code, ErrorCode::kExhausted);
}

TEST(RedisErrors, NeverRepeatArguments) {
  const Error error = redis_error("ERR unknown command 'private words', with args beginning with: 'more'");
  EXPECT_EQ(error.message, "redis: ERR unknown command ");
}

TEST(RedisScript, IsKnownByTheHashThatRedisComputes) {
  EXPECT_EQ(RedisScript("return 1").sha1(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
}

}  // namespace
}  // namespace sluice
