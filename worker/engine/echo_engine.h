// An engine without a model: the answer is the last user message (or the raw prompt). It measures everything
// around an engine, and misbehaves on request, so that the rest can be tested. Never the default.
//
// Tokens are words: runs of bytes that are not ASCII white space. An answer comes whole in the step after
// add(); a slow one comes word by word over its time. Thread safety and ownership as in engine.h; the clock
// is borrowed and must outlive the engine.
#pragma once

#include <condition_variable>
#include <mutex>
#include <unordered_set>

#include "worker/engine/engine.h"

namespace sluice {

struct EchoEngineConfig {
  std::size_t sequences_max = 1024;
  std::size_t context_tokens = 1U << 20;  // Words of prompt and answer together.
  std::size_t kv_tokens_max = 1U << 26;   // Words of all active requests together.
};

class EchoEngine final : public Engine {
 public:
  explicit EchoEngine(Clock& clock, const EchoEngineConfig& config = {});

  const EngineInfo& info() const override { return info_; }
  Result<Prompt> prepare(const PromptInput& input) const override;
  std::size_t kv_tokens_needed(const Prompt& prompt, const SamplingParams& params) const override;
  Status add(GenerationRequest&& request) override;
  std::vector<StepEvent> step(Duration wait_max) override;
  void cancel(std::string_view key) override;
  std::size_t active() const override { return active_.size(); }
  EngineLoad load() const override;

 private:
  struct Active {
    GenerationRequest request;
    std::size_t kv_tokens = 0;
    SteadyTime begun;
    SteadyTime due;  // Not answered before.
    bool cancelled = false;
    // Of a slow one: its answer, and what of it was given out by now.
    std::optional<Generation> answer;
    std::size_t words_given = 0;
    std::size_t bytes_given = 0;

    SteadyTime next_word_at() const;
  };

  void wait_for_due(Duration wait_max);
  static std::optional<StepEvent> next_words(Active& active, SteadyTime now);

  Clock& clock_;
  EngineInfo info_;
  std::vector<Active> active_;  // In the order of add().
  std::unordered_set<std::string> keys_;
  std::size_t kv_tokens_used_ = 0;
  // Only for waiting on the clock; nobody notifies.
  std::mutex mutex_;
  std::condition_variable never_;
};

}  // namespace sluice
