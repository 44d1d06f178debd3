// The engine with our own kernels: continuous batching over a paged KV cache.
//
// Each step computes one token of every sequence that is answering, and fills up with pieces of prompts,
// oldest first, so that a long prompt never holds up the others for long. A sequence has all its KV pages
// from the start: it never has to wait or be thrown out halfway. A finished sequence frees its place in the
// step in which it ends.
//
// Sequences of one scope whose prompts begin alike compute and keep that beginning once (ops/prefix_cache.h):
// while one is computing it the others wait for it, and it stays for later ones until room is needed.
//
// A sequence's output does not depend on what else runs, on how its prompt was cut, nor on what of it was
// found in the cache: greedy tokens are the same, and so are sampled ones with the same seed.
//
// With a second file of the model (NativeEngineConfig::fast_model) it computes each request with the weights
// that the request asks for, from its first token to its last. Both sets take turns in a step with the same
// threads, and their sequences share places and pages, but no prefixes: keys and values are of the weights
// that made them.
//
// Thread safety as in engine.h. Owns the files' memory maps, its threads and the cache.
#pragma once

#include <memory>
#include <string>
#include <unordered_set>

#include "common/base/rng.h"
#include "worker/engine/answer_text.h"
#include "worker/engine/engine.h"
#include "worker/engine/loaded_model.h"
#include "worker/engine/reasoning.h"
#include "worker/ops/kv_cache.h"
#include "worker/ops/prefix_cache.h"
#include "worker/ops/sampler.h"

namespace sluice {

struct NativeEngineConfig {
  ModelOptions model;
  // A file of the same model in a format that is computed faster; empty: none. It computes the requests that
  // are marked so.
  std::string fast_model;
  std::size_t sequences_max =
      32;  // More: better use of the weights read in each step, slower single answers.
  std::size_t kv_memory_bytes = 256U << 20;  // For keys and values; taken from the system as it is used.
  // F32 is exact, F16 halves memory and time of long contexts, I8 halves them again for a little exactness.
  ops::KvType kv_type = ops::KvType::kF16;
  bool prefix_sharing = true;
  std::size_t context_tokens_max = 0;  // Below the model's own; 0: the model's. KV memory caps it, too.
  // Tokens computed in one step at most. More: prompts are done sooner, answers pause longer meanwhile.
  std::size_t step_tokens_max = 256;
};

class NativeEngine final : public Engine {
 public:
  // Errors as LoadedModel::load; kExhausted: no KV memory for even one page. `rng` gives the seeds of
  // requests without one, and must outlive the engine.
  static Result<std::unique_ptr<NativeEngine>> open(const NativeEngineConfig& config, Rng& rng);
  ~NativeEngine() override;

  const EngineInfo& info() const override { return info_; }
  Result<Prompt> prepare(const PromptInput& input) const override;
  std::size_t kv_tokens_needed(const Prompt& prompt, const SamplingParams& params) const override;
  Status add(GenerationRequest&& request) override;
  std::vector<StepEvent> step(Duration wait_max) override;
  void cancel(std::string_view key) override;
  std::size_t active() const override { return sequences_.size(); }
  EngineLoad load() const override;

  const LoadedModel& model() const { return *model_; }

 private:
  struct Sequence;
  // What one set of weights computes in a step.
  struct Plan {
    std::vector<model::StepToken> tokens;
    std::vector<Sequence*> sampling;  // Whose logits come out, in order.
  };

  NativeEngine(const NativeEngineConfig& config, std::unique_ptr<LoadedModel> model,
               std::unique_ptr<LoadedModel> fast_model, std::unique_ptr<ops::KvCache> cache, Rng& rng);
  std::size_t answer_tokens_max(std::size_t prompt_tokens, const SamplingParams& params) const;
  void plan_step();
  void sample(const Plan& plan, std::span<float> logits);
  void compute(const Plan& plan, LoadedModel& model);
  std::optional<StepEvent> advance(Sequence& sequence);
  void take_in(Sequence& sequence, std::int32_t id, StepEvent& event) const;
  std::string_view said(const Sequence& sequence, std::int32_t id) const;
  void note_logprob(Sequence& sequence, std::int32_t id) const;
  static void give_out(Sequence& sequence, ReasoningSplitter::Pieces pieces, StepEvent& event);
  void finish(Sequence& sequence, FinishReason reason, StepEvent& event);

  const NativeEngineConfig config_;
  std::unique_ptr<LoadedModel> model_;
  std::unique_ptr<LoadedModel> fast_model_;  // May be none.
  std::unique_ptr<ops::KvCache> cache_;
  ops::PrefixCache prefixes_;  // Before the sequences, whose pages go back to it.
  Rng& rng_;
  EngineInfo info_;
  std::vector<std::unique_ptr<Sequence>> sequences_;  // In the order of add().
  std::unordered_set<std::string> keys_;
  std::uint64_t prompt_tokens_computed_ = 0;
  std::uint64_t prompt_tokens_cached_ = 0;
  // Of one step.
  Plan plan_;
  Plan fast_plan_;
};

}  // namespace sluice
