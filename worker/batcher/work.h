// What the batcher takes in and what it hands out. Plain data.
#pragma once

#include <cstddef>
#include <string>
#include <variant>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "worker/engine/engine.h"

namespace sluice::worker {

// One start of a job, ready to be computed. `request.key` names it from here on.
struct Work {
  GenerationRequest request;
  // What Engine::kv_tokens_needed said; once in the engine, what it took there.
  std::size_t kv_tokens = 0;
  bool alone = false;     // Nothing else may be in the engine while it runs.
  bool express = false;   // Takes one of the places that are kept for urgent jobs.
  bool streamed = false;  // Somebody reads along from the start.
  SteadyTime offered{};   // Set by Batcher::offer.
};

// What one that runs has said since it was last heard.
struct Progress {
  std::string key;
  std::string text;       // Whole characters, and nothing that a stop string may still take back.
  std::string reasoning;  // Likewise.
  std::size_t tokens = 0;
};

struct Cancelled {};  // Somebody called Batcher::cancel.
struct GivenBack {};  // Not computed to its end: drain or stop.

// Error: as GenerationOutcome; kInvalid can never succeed.
using CompletionHow = std::variant<Generation, Error, Cancelled, GivenBack>;

struct Completion {
  std::string key;
  CompletionHow how;
  std::size_t kv_tokens = 0;   // As the work had.
  std::size_t tokens_max = 0;  // Its prompt, and the most that it might have said.
  bool express = false;        // As the work was.
  Duration waited{0};          // From offer to its place in the engine.
  Duration computed{0};        // From there to the end.
};

}  // namespace sluice::worker
