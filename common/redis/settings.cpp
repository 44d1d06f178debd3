#include "common/redis/settings.h"

namespace sluice {

using std::chrono::milliseconds;

void bind(config::Settings& settings, RedisConfig& config) {
  settings.add("redis-host", config.host, "Host of the Redis server");
  settings.add("redis-port", config.port, "Its port").range(1, 65535);
  settings.add("redis-user", config.user, "User to log in as; empty = the default user");
  settings.add("redis-password", config.password, "The user's password; empty = no login");
  settings.add("redis-database", config.database, "Number of the database").range(0, 1'000'000);
  settings.add("redis-connections-max", config.connections_max, "Most connections of this process")
      .range(1, 1000);
  settings.add("redis-connect-timeout", config.connect_timeout, "Longest wait for a connection")
      .range(milliseconds(1), milliseconds(60'000));
  settings.add("redis-call-timeout", config.call_timeout, "What a slow Redis may cost a call at most")
      .range(milliseconds(1), milliseconds(60'000));
}

}  // namespace sluice
