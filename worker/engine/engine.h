// What computes answers, as the batcher sees it: requests go in, each step moves all of them on, finished
// ones come out. Implemented by NativeEngine (our own kernels) and EchoEngine (no model; measures all around
// it).
//
// Thread safety: prepare() and info() may be called from any thread at any time. Everything else belongs to
// one thread, the owner, which may be changed only with the usual hand-over (a happens-before between the
// two). Ownership: an engine owns its model, its threads and every sequence; destroying it drops the
// sequences.
//
// The owner's loop:
//   while (more) {
//     while (auto request = next()) if (auto s = engine.add(std::move(*request)); !s) …put it back, or end it
//     for (StepEvent& event : engine.step(wait_max)) …hand text on; when event.done, the place is free again
//   }
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace sluice {

struct SamplingParams {
  int max_tokens = 256;      // Tokens to generate at most; the context caps it. 0: none, finishes as kLength.
  float temperature = 0.0F;  // 0: greedy, and everything below except penalties and stop is without effect.
  float top_p = 1.0F;        // (0, 1]; 1: off.
  int top_k = 0;             // 0: off.
  float min_p = 0.0F;        // [0, 1); 0: off.
  std::optional<std::uint64_t> seed;  // Same seed, same output, whatever else runs in the batch.
  std::vector<std::string> stop;      // Ends the text before the first of these; none is part of the text.
  float repetition_penalty = 1.0F;    // Over prompt and answer; 1: off.
  float frequency_penalty = 0.0F;     // Over the answer; 0: off.
  float presence_penalty = 0.0F;      // Over the answer; 0: off.
  // Tell how likely each token was: the logarithm of its probability by the model itself, before penalties,
  // temperature and cuts; and the same of the `top_logprobs` (0 to 20) likeliest.
  bool logprobs = false;
  int top_logprobs = 0;  // Above 0 only with `logprobs`.
};
inline constexpr int kTopLogprobsMax = 20;

// kInvalid names the first field that is out of range.
Status validate(const SamplingParams& params);

// A request for misbehaviour. Only EchoEngine obeys it; the others refuse the request (kInvalid).
enum class FaultKind { kTransient, kPermanent, kCrash, kSlow };
struct Fault {
  FaultKind kind = FaultKind::kTransient;
  // How many attempts misbehave, counted from the first. Default: the first for kTransient, else all of them
  // (so an unlimited kCrash is a job that kills every worker it meets).
  std::optional<int> attempts;
  int ms = 0;       // kSlow: how long the answer takes at least.
  int attempt = 1;  // Which attempt this is, from 1.
};
std::optional<FaultKind> fault_kind_from(std::string_view name);  // transient|permanent|crash|slow

struct PromptMessage {
  std::string role;  // system | user | assistant, as far as the model's template knows them.
  std::string content;
};

// What a prompt is made of, before the model's template and vocabulary.
struct PromptInput {
  std::vector<PromptMessage> messages;  // Goes through the chat template. Empty: `raw` counts.
  std::string raw;                      // Goes in bare: no template; special tokens in it are recognised.
};

// A prompt in the engine's own terms. Made by Engine::prepare; costs no place in the engine.
struct Prompt {
  std::vector<std::int32_t> ids;  // Empty in engines without a vocabulary.
  std::string text;               // What EchoEngine answers with; empty in engines with a vocabulary.
  std::size_t tokens = 0;         // What it counts as in usage and budgets.
  // Made of messages: the answer is a text of its own, which may begin with thoughts, and these are told
  // apart from what it says. Otherwise it goes on in the prompt's text, as it is.
  bool chat = false;
  bool thinks = false;  // It does begin with thoughts: the template has opened them.
};

struct GenerationRequest {
  std::string key;  // Opaque, echoed in events; unique among the active requests.
  // Whose request it is. What was computed for a prompt is used again only for prompts of the same scope:
  // otherwise the time of an answer would tell one client what others ask.
  std::string scope;
  Prompt prompt;
  SamplingParams params;
  std::optional<Fault> fault;
  // Compute it with the faster weights, where the engine holds such (EngineInfo::fast_weight_type).
  bool fast = false;
};

enum class FinishReason {
  kStop,       // The model ended its answer, or a stop string came.
  kLength,     // max_tokens or the context was reached.
  kCancelled,  // cancel() was called; text and ids hold what there was.
};
std::string_view finish_reason_name(FinishReason reason);  // stop|length|cancelled

struct Usage {
  std::size_t prompt_tokens = 0;
  std::size_t completion_tokens = 0;  // Every generated token, the one that ended the answer included.
  std::size_t cached_tokens = 0;     // Of the prompt: not computed for this request, but found or waited for.
  std::size_t reasoning_tokens = 0;  // Of the answer: its thoughts, their marks included.
  std::size_t total() const { return prompt_tokens + completion_tokens; }
};

// One token of an answer. Bytes need not be whole characters.
struct TokenLogprob {
  struct Likely {
    std::string bytes;
    float logprob = 0.0F;
  };
  std::string bytes;
  float logprob = 0.0F;
  std::vector<Likely> top;  // The likeliest first.
};

struct Generation {
  std::string text;               // Valid UTF-8 whatever the model produced.
  std::vector<std::int32_t> ids;  // Every generated token, the one that ended the answer included.
  FinishReason finish_reason = FinishReason::kStop;
  Usage usage;
  std::string reasoning;  // The thoughts that came before the text; valid UTF-8.
  // If asked for: of each token in `ids` but those that only end or structure the text.
  std::vector<TokenLogprob> logprobs;
  std::string weight_type;  // Of the weights that computed it, as EngineInfo names it; empty without a model.
};

// Errors: kInvalid: this request can never succeed. kUnavailable, kCorrupt, kInternal: this attempt failed.
using GenerationOutcome = Result<Generation>;

// What one step brought for one request.
struct StepEvent {
  std::string key;
  std::string text_delta;                 // Whole characters only; the deltas joined are Generation::text.
  std::string reasoning_delta;            // As text_delta, of Generation::reasoning.
  std::vector<std::int32_t> ids;          // New tokens of this step; none in engines without a vocabulary.
  std::size_t tokens = 0;                 // How many they are, or words where there are none.
  std::optional<GenerationOutcome> done;  // Set once, in the request's last event.
};

// Fixed from construction on.
struct EngineInfo {
  std::string engine;              // native | echo
  std::string version;             // Changes when the same request may give other text.
  std::string model;               // The model's name, as clients write it.
  std::string fingerprint;         // Tells any two models apart; empty without a model.
  std::string architecture;        // qwen2, llama, …; empty without a model.
  std::string weight_type;         // F32, F16, Q8_0, …
  std::string fast_weight_type;    // Of the same model's faster weights; empty: the engine holds none.
  std::string kv_type;             // F32, F16, I8
  std::size_t context_tokens = 0;  // Prompt and answer of one sequence together.
  std::size_t sequences_max = 0;   // Requests that may be active at once.
  std::size_t kv_tokens_max = 0;   // Prompt and answer tokens of all of them together.
  std::size_t vocabulary_tokens = 0;
};

// How much room there is now, for the batcher's choice of what to add next.
struct EngineLoad {
  std::size_t active = 0;
  std::size_t sequences_free = 0;
  std::size_t kv_tokens_free = 0;  // Those of kept prefixes that nobody uses included.
  std::size_t kv_tokens_kept = 0;  // Of these: prefixes that may be used again.
  // Since the engine began: prompt tokens that were computed, and that were found in the cache; pages of the
  // cache given up because room was needed.
  std::uint64_t prompt_tokens_computed = 0;
  std::uint64_t prompt_tokens_cached = 0;
  std::uint64_t kv_pages_evicted = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;

  virtual const EngineInfo& info() const = 0;

  // Renders and tokenizes. Any thread. kInvalid: the template refuses the messages, or the prompt leaves no
  // room for a single token of answer in the context (the message says both lengths).
  virtual Result<Prompt> prepare(const PromptInput& input) const = 0;

  // KV tokens that add() will reserve for the request at most: prompt + max_tokens, capped by the context. A
  // prefix that is in the cache, or on its way, is not reserved again: load() before and after tells.
  virtual std::size_t kv_tokens_needed(const Prompt& prompt, const SamplingParams& params) const = 0;

  // Takes a request in; its first event comes from a later step(). On failure nothing was taken and
  // `request` is left as it was.
  // kExhausted: no room now; try again after a step that finished something.
  // kInvalid: can never succeed (prompt too long, parameter out of range, fault where none is allowed).
  // kConflict: a request with this key is active.
  virtual Status add(GenerationRequest&& request) = 0;

  // Moves every active request on and returns what came of it, in the order in which requests were added.
  // Doesn't wait while there is something to compute; else (upstream answers or slow echoes outstanding) at
  // most `wait_max` for something to happen. With nothing active it returns at once, empty.
  virtual std::vector<StepEvent> step(Duration wait_max) = 0;

  // The next step() reports the request as done (kCancelled) and frees its place. Unknown keys are ignored.
  virtual void cancel(std::string_view key) = 0;

  virtual std::size_t active() const = 0;
  virtual EngineLoad load() const = 0;
};

}  // namespace sluice
