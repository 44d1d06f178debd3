// Makes the engine that the settings ask for.
#pragma once

#include <memory>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/base/rng.h"
#include "worker/engine/engine.h"
#include "worker/main/config.h"

namespace sluice::worker {

// `clock` and `rng` must outlive the engine. The message of an error names the file and says what is wrong
// with it or not supported.
Result<std::unique_ptr<Engine>> make_engine(const EngineConfig& config, int jobs_max, Clock& clock, Rng& rng);

}  // namespace sluice::worker
