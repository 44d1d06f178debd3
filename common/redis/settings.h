// Binds the settings of a Redis server, the same for every program: redis-host (SLUICE_REDIS_HOST) and so on.
#pragma once

#include "common/config/settings.h"
#include "common/redis/redis.h"

namespace sluice {

void bind(config::Settings& settings, RedisConfig& config);

}  // namespace sluice
