// Everything that can be set about the worker; `sluice-worker --help` lists it.
#pragma once

#include <cstddef>
#include <string>

#include "common/config/settings.h"
#include "common/http/config.h"
#include "common/log/log.h"
#include "common/mysql/mysql.h"
#include "common/rabbitmq/config.h"
#include "common/redis/redis.h"
#include "common/store/job_store.h"
#include "worker/consumer/job_runner.h"
#include "worker/ops/kv_cache.h"

namespace sluice::worker {

enum class EngineKind { kNative, kEcho };

struct EngineConfig {
  EngineKind kind = EngineKind::kNative;
  std::string model;                         // The file; needed unless the engine is echo.
  std::string model_fast;                    // The same model in a faster format; empty = none.
  std::size_t threads = 0;                   // That compute; 0 = one for each usable CPU.
  std::string kernels;                       // By name; empty = the fastest for this CPU.
  std::size_t kv_memory_bytes = 256U << 20;  // Bounds how many tokens are in the engine at once.
  ops::KvType kv_type = ops::KvType::kF16;   // Of keys and values.
  bool prefix_sharing = true;                // Compute what prompts of a tenant have in common once.
  std::size_t context_tokens_max = 0;        // Below the model's own; 0 = the model's.
  std::size_t step_tokens_max = 256;         // More: prompts are done sooner, answers pause longer meanwhile.
};

struct WorkerConfig {
  LogLevel log_level = LogLevel::kInfo;
  EngineConfig engine;
  JobRunnerConfig runner;
  int prefetch = 0;  // Unacked messages of each priority; 0 = two batches.
  JobRules rules;
  http::ServerConfig http;
  MysqlConfig mysql;
  RabbitmqConfig rabbitmq;
  RedisConfig redis;
};
void bind(config::Settings& settings, WorkerConfig& config);

}  // namespace sluice::worker
