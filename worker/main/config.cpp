#include "worker/main/config.h"

#include "common/mysql/settings.h"
#include "common/rabbitmq/settings.h"
#include "common/redis/settings.h"
#include "common/store/settings.h"

namespace sluice::worker {

namespace {

void bind_engine(config::Settings& settings, EngineConfig& engine) {
  settings.add_enum("engine", engine.kind, {{"native", EngineKind::kNative}, {"echo", EngineKind::kEcho}},
                    "What computes; echo answers with the prompt, for tests and measurements");
  settings.add("model", engine.model, "The model file (GGUF) that is served");
  settings.add("model-fast", engine.model_fast,
               "The same model in a faster format, for jobs of adaptive precision while the queue is deep");
  settings.add("engine-threads", engine.threads, "Threads that compute; 0 = one for each usable CPU")
      .range(0, 1024)
      .unit("threads");
  settings.add("engine-kernels", engine.kernels, "Kernels by name; empty = the fastest for this CPU");
  settings.add_size("kv-memory", engine.kv_memory_bytes, "Memory for keys and values of running jobs")
      .range(1U << 20, std::size_t{1} << 44);
  settings.add_enum("kv-type", engine.kv_type,
                    {{"F32", ops::KvType::kF32}, {"F16", ops::KvType::kF16}, {"I8", ops::KvType::kI8}},
                    "Precision of keys and values: F32, F16 (half the memory), I8 (a quarter, less exact)");
  settings.add("prefix-sharing", engine.prefix_sharing,
               "Compute beginnings that prompts of a tenant have in common once, and keep them");
  settings
      .add("context-tokens-max", engine.context_tokens_max,
           "Shorten the model's context; 0 = the model's own")
      .range(0, 1U << 24)
      .unit("tokens");
  settings
      .add("step-tokens-max", engine.step_tokens_max,
           "Tokens computed in one step: more does prompts sooner, fewer answers more evenly")
      .range(1, 1U << 20)
      .unit("tokens");
  settings.add_check([&engine]() -> Status {
    if (engine.kind == EngineKind::kNative && engine.model.empty()) {
      return fail(ErrorCode::kInvalid,
                  "model: SLUICE_MODEL (or --model) must name a model file, unless engine is echo");
    }
    if (engine.kind == EngineKind::kEcho && !engine.model_fast.empty())
      return fail(ErrorCode::kInvalid, "model-fast: the echo engine has no model");
    return {};
  });
}

}  // namespace

void bind(config::Settings& settings, WorkerConfig& config) {
  config.http.port = 8081;
  config.rabbitmq.connection_name = "sluice-worker";
  config.mysql.connections_max = 6;  // Claims, endings, heartbeats and /ready each use one at a time.
  config.redis.connections_max = 2;
  settings.add_enum("log-level", config.log_level,
                    {{"debug", LogLevel::kDebug},
                     {"info", LogLevel::kInfo},
                     {"warn", LogLevel::kWarn},
                     {"error", LogLevel::kError}},
                    "Least important lines that are logged");
  bind_engine(settings, config.engine);
  bind(settings, config.runner);
  settings.add("prefetch", config.prefetch, "Unacked messages of each priority; 0 = two batches")
      .range(0, 10'000)
      .unit("messages");
  bind(settings, config.rules);
  bind(settings, config.mysql);
  bind(settings, config.rabbitmq);
  bind(settings, config.redis);
  http::bind(settings, config.http);
  settings.add_check([&config]() -> Status {
    if (config.runner.lease.interval * 3 > config.rules.lease) {
      return fail(ErrorCode::kInvalid, "heartbeat-interval: must fit into the lease at least three times");
    }
    return {};
  });
}

}  // namespace sluice::worker
