#include "worker/engine/native_engine.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace sluice {
namespace {

// However many sequences are answering, prompts get at least this many tokens of a step.
constexpr std::size_t kPromptTokensLeast = 32;

// Changes when the arithmetic does, so that cached answers of an older engine can be told apart.
constexpr std::string_view kArithmetic = "native-3";

ops::SamplerConfig sampler_config(const SamplingParams& params, Rng& rng) {
  return {
      .repetition_penalty = params.repetition_penalty,
      .frequency_penalty = params.frequency_penalty,
      .presence_penalty = params.presence_penalty,
      .temperature = params.temperature,
      .top_k = params.top_k,
      .top_p = params.top_p,
      .min_p = params.min_p,
      .top_logprobs = params.logprobs ? params.top_logprobs : 0,
      .seed = params.seed ? *params.seed : (params.temperature > 0.0F ? rng.next() : 0),
  };
}

ReasoningSplitter::Begins begins(const Prompt& prompt) {
  if (!prompt.chat) return ReasoningSplitter::Begins::kSaying;
  return prompt.thinks ? ReasoningSplitter::Begins::kThinking : ReasoningSplitter::Begins::kEither;
}

}  // namespace

struct NativeEngine::Sequence {
  Sequence(GenerationRequest&& request, const ops::SamplerConfig& config, bool fast)
      : key(std::move(request.key)),
        ids(std::move(request.prompt.ids)),
        prompt_tokens(ids.size()),
        sampler(config, ids),
        text(std::move(request.params.stop)),
        splitter(begins(request.prompt)),
        chat(request.prompt.chat),
        wants_logprobs(request.params.logprobs),
        fast(fast) {}

  std::size_t answered() const { return ids.size() - prompt_tokens; }
  std::size_t pending() const { return ids.size() - computed; }  // Tokens not yet in the cache.

  std::string key;
  std::vector<std::int32_t> ids;  // Prompt, then answer.
  std::size_t prompt_tokens;
  std::size_t answer_tokens_max = 0;
  std::size_t computed = 0;             // Of ids: in the cache.
  std::size_t cached = 0;               // Of the prompt: came from the cache.
  std::unique_ptr<ops::KvLease> lease;  // None: nothing is to be computed.
  ops::Sampler sampler;
  AnswerText text;  // All of it, thoughts included.
  ReasoningSplitter splitter;
  Generation generation;  // As far as it goes.
  const bool chat;
  const bool wants_logprobs;
  const bool fast;              // Computed with the faster weights.
  ops::TokenLogprobs logprobs;  // Of `picked`.
  bool cancelled = false;
  bool done = false;
  std::optional<std::int32_t> picked;  // This step's token.
  bool broken = false;                 // This step's logits weren't finite.
};

Result<std::unique_ptr<NativeEngine>> NativeEngine::open(const NativeEngineConfig& config, Rng& rng) {
  SLUICE_ASSIGN(std::unique_ptr<LoadedModel> model, LoadedModel::load(config.model));
  std::unique_ptr<LoadedModel> fast_model;
  if (!config.fast_model.empty()) {
    SLUICE_ASSIGN(fast_model, LoadedModel::load_beside(*model, config.fast_model));
  }
  ops::KvShape shape = model->model().kv_shape();
  shape.type = config.kv_type;
  // More than all sequences can fill together is never used.
  const std::size_t context = model->model().shape().context_tokens;
  const std::size_t useful = std::max<std::size_t>(1, config.sequences_max) * (context + ops::kPageTokens);
  const std::size_t tokens = std::min(useful, config.kv_memory_bytes / shape.token_bytes());
  SLUICE_ASSIGN(std::unique_ptr<ops::KvCache> cache, ops::KvCache::make(shape, tokens));
  return std::unique_ptr<NativeEngine>(
      new NativeEngine(config, std::move(model), std::move(fast_model), std::move(cache), rng));
}

NativeEngine::NativeEngine(const NativeEngineConfig& config, std::unique_ptr<LoadedModel> model,
                           std::unique_ptr<LoadedModel> fast_model, std::unique_ptr<ops::KvCache> cache,
                           Rng& rng)
    : config_(config),
      model_(std::move(model)),
      fast_model_(std::move(fast_model)),
      cache_(std::move(cache)),
      prefixes_(*cache_, config.prefix_sharing),
      rng_(rng) {
  const model::ModelShape& shape = model_->model().shape();
  info_.engine = "native";
  info_.version = std::string(kArithmetic) + "/" + std::string(model_->context().kernels.name);
  info_.model = model_->text().name();
  info_.fingerprint = model_->text().fingerprint();
  info_.architecture = shape.architecture;
  info_.weight_type = model_->weight_type();
  if (fast_model_) info_.fast_weight_type = fast_model_->weight_type();
  info_.kv_type = ops::kv_type_name(cache_->shape().type);
  info_.context_tokens = std::min(shape.context_tokens, cache_->tokens_max());
  if (config_.context_tokens_max > 0)
    info_.context_tokens = std::min(info_.context_tokens, config_.context_tokens_max);
  info_.sequences_max = std::max<std::size_t>(1, config_.sequences_max);
  info_.kv_tokens_max = cache_->tokens_max();
  info_.vocabulary_tokens = shape.vocabulary;
}

NativeEngine::~NativeEngine() = default;

Result<Prompt> NativeEngine::prepare(const PromptInput& input) const {
  SLUICE_ASSIGN(Prompt prompt, model_->prepare(input));
  if (prompt.tokens >= info_.context_tokens) {
    return fail(ErrorCode::kInvalid, "the prompt has " + std::to_string(prompt.tokens) +
                                         " tokens; the model's context holds " +
                                         std::to_string(info_.context_tokens) + ", the answer included");
  }
  return prompt;
}

std::size_t NativeEngine::answer_tokens_max(std::size_t prompt_tokens, const SamplingParams& params) const {
  const std::size_t room = info_.context_tokens - std::min(info_.context_tokens, prompt_tokens);
  return std::min(room, static_cast<std::size_t>(std::max(0, params.max_tokens)));
}

std::size_t NativeEngine::kv_tokens_needed(const Prompt& prompt, const SamplingParams& params) const {
  const std::size_t answer = answer_tokens_max(prompt.ids.size(), params);
  if (answer == 0) return 0;
  return ops::KvCache::pages_for(prompt.ids.size() + answer) * ops::kPageTokens;
}

Status NativeEngine::add(GenerationRequest&& request) {
  SLUICE_TRY(validate(request.params));
  if (request.fault) return fail(ErrorCode::kInvalid, "faults are for the echo engine only");
  if (request.prompt.ids.empty()) return fail(ErrorCode::kInvalid, "the prompt is empty");
  if (request.prompt.ids.size() >= info_.context_tokens) {
    return fail(ErrorCode::kInvalid, "the prompt has " + std::to_string(request.prompt.ids.size()) +
                                         " tokens; the model's context holds " +
                                         std::to_string(info_.context_tokens) + ", the answer included");
  }
  for (const std::int32_t id : request.prompt.ids) {
    if (id < 0 || static_cast<std::size_t>(id) >= info_.vocabulary_tokens) {
      return fail(ErrorCode::kInvalid, "token " + std::to_string(id) + " is not in the vocabulary");
    }
  }
  if (keys_.contains(request.key)) return fail(ErrorCode::kConflict, "a request with this key is active");
  if (sequences_.size() >= info_.sequences_max) return fail(ErrorCode::kExhausted, "all places are taken");
  const std::size_t answer_max = answer_tokens_max(request.prompt.ids.size(), request.params);
  const bool fast = request.fast && fast_model_ != nullptr;
  std::unique_ptr<ops::KvLease> lease;
  if (answer_max > 0) {
    // What the other weights computed is nothing to go on with.
    const std::string scope = (fast ? "fast " : "full ") + request.scope;
    lease = prefixes_.open(scope, request.prompt.ids, request.prompt.ids.size() + answer_max);
    if (lease == nullptr) return fail(ErrorCode::kExhausted, "no room for so many tokens");
  }
  const ops::SamplerConfig sampler = sampler_config(request.params, rng_);
  auto sequence = std::make_unique<Sequence>(std::move(request), sampler, fast);
  sequence->answer_tokens_max = answer_max;
  sequence->lease = std::move(lease);
  keys_.insert(sequence->key);
  sequences_.push_back(std::move(sequence));
  return {};
}

void NativeEngine::cancel(std::string_view key) {
  for (const std::unique_ptr<Sequence>& sequence : sequences_) {
    if (sequence->key == key) sequence->cancelled = true;
  }
}

EngineLoad NativeEngine::load() const {
  return {.active = sequences_.size(),
          .sequences_free = info_.sequences_max - sequences_.size(),
          .kv_tokens_free = prefixes_.tokens_free(),
          .kv_tokens_kept = prefixes_.pages_idle() * ops::kPageTokens,
          .prompt_tokens_computed = prompt_tokens_computed_,
          .prompt_tokens_cached = prompt_tokens_cached_,
          .kv_pages_evicted = prefixes_.evictions()};
}

// Chooses this step's tokens: the last one of every sequence that is answering, then pieces of prompts. One
// whose prompt goes on with a page that another is computing waits for it.
void NativeEngine::plan_step() {
  for (Plan* plan : {&plan_, &fast_plan_}) {
    plan->tokens.clear();
    plan->sampling.clear();
  }
  const auto take = [&](Sequence& sequence, std::size_t count) {
    Plan& plan = sequence.fast ? fast_plan_ : plan_;
    for (; count > 0; --count) {
      const std::size_t position = sequence.computed++;
      const bool last = sequence.computed == sequence.ids.size();
      plan.tokens.push_back({sequence.ids[position], position, &sequence.lease->pages(), last});
      if (last) plan.sampling.push_back(&sequence);
    }
  };
  const auto runs = [](const Sequence& s) { return !s.cancelled && s.answer_tokens_max > 0; };
  for (const std::unique_ptr<Sequence>& sequence : sequences_) {
    if (runs(*sequence) && sequence->answered() > 0) take(*sequence, 1);
  }
  const std::size_t answering = plan_.tokens.size() + fast_plan_.tokens.size();
  std::size_t room =
      std::max(kPromptTokensLeast, config_.step_tokens_max - std::min(config_.step_tokens_max, answering));
  for (const std::unique_ptr<Sequence>& sequence : sequences_) {
    if (room == 0) break;
    if (!runs(*sequence) || sequence->answered() > 0) continue;
    const std::size_t known = sequence->lease->skip(sequence->computed);
    sequence->cached += known - sequence->computed;
    prompt_tokens_cached_ += known - sequence->computed;
    sequence->computed = known;
    const std::size_t count = sequence->lease->claim(known, std::min(room, sequence->pending()));
    take(*sequence, count);
    prompt_tokens_computed_ += count;
    room -= count;
  }
}

void NativeEngine::compute(const Plan& plan, LoadedModel& model) {
  if (!plan.tokens.empty()) sample(plan, model.model().forward(*cache_, plan.tokens));
}

void NativeEngine::sample(const Plan& plan, std::span<float> logits) {
  const std::size_t vocabulary = info_.vocabulary_tokens;
  const ops::Context& context = model_->context();
  context.pool.parallel_for(plan.sampling.size(), 1, [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::span<float> own = logits.subspan(i * vocabulary, vocabulary);
      Sequence& sequence = *plan.sampling[i];
      ops::TokenLogprobs* const logprobs = sequence.wants_logprobs ? &sequence.logprobs : nullptr;
      sequence.picked = sequence.sampler.pick(context.kernels, own, logprobs);
      sequence.broken = !sequence.picked;
    }
  });
}

void NativeEngine::give_out(Sequence& sequence, ReasoningSplitter::Pieces pieces, StepEvent& event) {
  event.text_delta += pieces.content;
  event.reasoning_delta += pieces.reasoning;
  sequence.generation.text += pieces.content;
  sequence.generation.reasoning += pieces.reasoning;
}

void NativeEngine::finish(Sequence& sequence, FinishReason reason, StepEvent& event) {
  give_out(sequence, sequence.splitter.push(sequence.text.finish()), event);
  give_out(sequence, sequence.splitter.finish(), event);
  Generation& generation = sequence.generation;
  generation.ids.assign(sequence.ids.begin() + static_cast<std::ptrdiff_t>(sequence.prompt_tokens),
                        sequence.ids.end());
  generation.finish_reason = reason;
  generation.usage.prompt_tokens = sequence.prompt_tokens;
  generation.usage.completion_tokens = sequence.answered();
  generation.usage.cached_tokens = sequence.cached;
  generation.weight_type = sequence.fast ? info_.fast_weight_type : info_.weight_type;
  event.done = std::move(generation);
}

// What a token says as the sequence's last one. A chat's answer is decoded as a text of its own, without the
// space that encoding would put before it; a raw prompt's text goes on, and every byte of the answer with it.
std::string_view NativeEngine::said(const Sequence& sequence, std::int32_t id) const {
  const Tokenizer& tokenizer = model_->tokenizer();
  if (!sequence.chat) return tokenizer.token_bytes(id);
  return tokenizer.text_bytes(id, sequence.ids[sequence.ids.size() - 2]);
}

void NativeEngine::note_logprob(Sequence& sequence, std::int32_t id) const {
  TokenLogprob noted{std::string(said(sequence, id)), sequence.logprobs.logprob, {}};
  for (const auto& [other, logprob] : sequence.logprobs.top)
    noted.top.push_back({std::string(said(sequence, other)), logprob});
  sequence.generation.logprobs.push_back(std::move(noted));
}

// Takes a token that doesn't end the answer into its text.
void NativeEngine::take_in(Sequence& sequence, std::int32_t id, StepEvent& event) const {
  const Tokenizer& tokenizer = model_->tokenizer();
  const std::string_view bytes = said(sequence, id);
  const bool was_thinking = sequence.splitter.thinking();
  // Models differ in whether the marks of thoughts are control tokens.
  const bool is_mark = bytes == ReasoningSplitter::kOpen || bytes == ReasoningSplitter::kClose;
  if (!tokenizer.is_control(id) || is_mark) {
    give_out(sequence, sequence.splitter.push(sequence.text.push(bytes)), event);
    if (sequence.wants_logprobs) note_logprob(sequence, id);
  }
  if (was_thinking || sequence.splitter.thinking()) ++sequence.generation.usage.reasoning_tokens;
}

// Takes this step's token in. Empty: nothing to report (a piece of its prompt was computed, or not even
// that).
std::optional<StepEvent> NativeEngine::advance(Sequence& sequence) {
  StepEvent event;
  const std::optional<std::int32_t> picked = std::exchange(sequence.picked, std::nullopt);
  if (sequence.cancelled) {
    finish(sequence, FinishReason::kCancelled, event);
  } else if (sequence.answer_tokens_max == 0) {
    finish(sequence, FinishReason::kLength, event);
  } else if (sequence.broken) {
    event.done = fail(ErrorCode::kCorrupt, "the model computed numbers that are not finite");
  } else if (picked) {
    sequence.ids.push_back(*picked);
    event.ids.push_back(*picked);
    event.tokens = 1;
    const bool ends = model_->tokenizer().is_end(*picked);
    if (!ends) take_in(sequence, *picked, event);
    if (ends || sequence.text.stopped()) {
      finish(sequence, FinishReason::kStop, event);
    } else if (sequence.answered() == sequence.answer_tokens_max) {
      finish(sequence, FinishReason::kLength, event);
    }
  } else {
    return std::nullopt;
  }
  sequence.done = event.done.has_value();
  event.key = sequence.key;
  return event;
}

std::vector<StepEvent> NativeEngine::step(Duration) {
  std::vector<StepEvent> events;
  if (sequences_.empty()) return events;
  plan_step();
  compute(plan_, *model_);
  if (fast_model_) compute(fast_plan_, *fast_model_);
  for (const std::unique_ptr<Sequence>& sequence : sequences_) {
    if (sequence->lease == nullptr) continue;
    if (sequence->broken) {
      sequence->lease->forget();
    } else {
      sequence->lease->computed(sequence->ids, sequence->computed);
    }
  }
  for (const std::unique_ptr<Sequence>& sequence : sequences_) {
    std::optional<StepEvent> event = advance(*sequence);
    if (sequence->done) keys_.erase(sequence->key);
    if (event) events.push_back(std::move(*event));
  }
  std::erase_if(sequences_, [](const std::unique_ptr<Sequence>& sequence) { return sequence->done; });
  return events;
}

}  // namespace sluice
