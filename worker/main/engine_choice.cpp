#include "worker/main/engine_choice.h"

#include <utility>

#include "worker/engine/echo_engine.h"
#include "worker/engine/native_engine.h"

namespace sluice::worker {

Result<std::unique_ptr<Engine>> make_engine(const EngineConfig& config, int jobs_max, Clock& clock,
                                            Rng& rng) {
  if (config.kind == EngineKind::kEcho) {
    EchoEngineConfig echo;
    echo.sequences_max = static_cast<std::size_t>(jobs_max);
    if (config.context_tokens_max > 0) echo.context_tokens = config.context_tokens_max;
    return std::unique_ptr<Engine>(std::make_unique<EchoEngine>(clock, echo));
  }
  NativeEngineConfig native;
  native.model.path = config.model;
  native.fast_model = config.model_fast;
  native.model.threads = config.threads;
  native.model.kernels = config.kernels;
  native.sequences_max = static_cast<std::size_t>(jobs_max);
  native.kv_memory_bytes = config.kv_memory_bytes;
  native.kv_type = config.kv_type;
  native.prefix_sharing = config.prefix_sharing;
  native.context_tokens_max = config.context_tokens_max;
  native.step_tokens_max = config.step_tokens_max;
  SLUICE_ASSIGN(std::unique_ptr<Engine> engine, NativeEngine::open(native, rng));
  return engine;
}

}  // namespace sluice::worker
