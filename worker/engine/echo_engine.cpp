#include "worker/engine/echo_engine.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "common/text/stop_matcher.h"
#include "common/text/utf8_stream.h"

namespace sluice {
namespace {

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// Where the text ends after at most `words_max` words, and how many there are.
struct WordCount {
  std::size_t words = 0;
  std::size_t end = 0;  // Just after the last word counted, or the text's end if none was cut off.
};

WordCount count_words(std::string_view text, std::size_t words_max) {
  WordCount count;
  bool inside = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool space = is_space(text[i]);
    if (!space && !inside) {
      if (count.words == words_max) return count;
      ++count.words;
    }
    if (inside && space) count.end = i;
    inside = !space;
  }
  count.end = text.size();
  return count;
}

bool misbehaves(const std::optional<Fault>& fault, FaultKind kind) {
  if (!fault || fault->kind != kind) return false;
  if (fault->attempts) return fault->attempt <= *fault->attempts;
  return kind != FaultKind::kTransient || fault->attempt <= 1;
}

GenerationOutcome answer(const GenerationRequest& request) {
  if (misbehaves(request.fault, FaultKind::kCrash)) raise(SIGKILL);
  if (misbehaves(request.fault, FaultKind::kTransient)) {
    return fail(ErrorCode::kUnavailable, "a transient fault was asked for");
  }
  if (misbehaves(request.fault, FaultKind::kPermanent)) {
    return fail(ErrorCode::kInvalid, "a permanent fault was asked for");
  }
  Generation generation;
  Utf8Stream utf8;
  std::string text = utf8.push(request.prompt.text);
  text += utf8.finish();
  if (!request.params.stop.empty()) {
    StopMatcher stops(request.params.stop);
    text = stops.push(text);
    text += stops.finish();
  }
  const WordCount count = count_words(text, static_cast<std::size_t>(request.params.max_tokens));
  if (count.end < text.size()) generation.finish_reason = FinishReason::kLength;
  text.resize(count.end);
  if (request.params.max_tokens == 0) {
    text.clear();
    generation.finish_reason = FinishReason::kLength;
  }
  generation.text = std::move(text);
  generation.usage = {request.prompt.tokens, count.words};
  return generation;
}

}  // namespace

EchoEngine::EchoEngine(Clock& clock, const EchoEngineConfig& config) : clock_(clock) {
  info_.engine = "echo";
  info_.version = "echo-1";
  info_.model = "echo";
  info_.context_tokens = config.context_tokens;
  info_.sequences_max = config.sequences_max;
  info_.kv_tokens_max = config.kv_tokens_max;
}

Result<Prompt> EchoEngine::prepare(const PromptInput& input) const {
  Prompt prompt;
  prompt.text = input.raw;
  if (!input.messages.empty()) {
    prompt.text = input.messages.back().content;
    for (auto message = input.messages.rbegin(); message != input.messages.rend(); ++message) {
      if (message->role == "user") {
        prompt.text = message->content;
        break;
      }
    }
  }
  prompt.tokens = count_words(prompt.text, prompt.text.size()).words;
  if (prompt.tokens >= info_.context_tokens) {
    return fail(ErrorCode::kInvalid, "the prompt has " + std::to_string(prompt.tokens) +
                                         " tokens; the model's context holds " +
                                         std::to_string(info_.context_tokens) + ", the answer included");
  }
  return prompt;
}

std::size_t EchoEngine::kv_tokens_needed(const Prompt& prompt, const SamplingParams& params) const {
  return std::min(info_.context_tokens,
                  prompt.tokens + static_cast<std::size_t>(std::max(0, params.max_tokens)));
}

Status EchoEngine::add(GenerationRequest&& request) {
  SLUICE_TRY(validate(request.params));
  if (request.prompt.tokens >= info_.context_tokens) {
    return fail(ErrorCode::kInvalid, "the prompt is longer than the context");
  }
  if (keys_.contains(request.key)) return fail(ErrorCode::kConflict, "a request with this key is active");
  if (active_.size() >= info_.sequences_max) return fail(ErrorCode::kExhausted, "all places are taken");
  Active active;
  active.kv_tokens = kv_tokens_needed(request.prompt, request.params);
  if (active.kv_tokens > info_.kv_tokens_max)
    return fail(ErrorCode::kInvalid, "the request is larger than the engine");
  if (kv_tokens_used_ + active.kv_tokens > info_.kv_tokens_max) {
    return fail(ErrorCode::kExhausted, "no room for so many tokens");
  }
  active.due = clock_.steady_now();
  if (misbehaves(request.fault, FaultKind::kSlow))
    active.due += std::chrono::milliseconds(std::max(0, request.fault->ms));
  active.request = std::move(request);
  keys_.insert(active.request.key);
  kv_tokens_used_ += active.kv_tokens;
  active_.push_back(std::move(active));
  return {};
}

// Until the first one is due, if none is.
void EchoEngine::wait_for_due(Duration wait_max) {
  const SteadyTime now = clock_.steady_now();
  SteadyTime until = now + std::max(Duration::zero(), wait_max);
  for (const Active& active : active_) {
    if (active.cancelled || active.due <= now) return;
    until = std::min(until, active.due);
  }
  std::unique_lock<std::mutex> lock(mutex_);
  if (until > now) clock_.wait_until(never_, lock, until);
}

std::vector<StepEvent> EchoEngine::step(Duration wait_max) {
  std::vector<StepEvent> events;
  if (active_.empty()) return events;
  wait_for_due(wait_max);
  const SteadyTime now = clock_.steady_now();
  std::size_t kept = 0;
  for (std::size_t i = 0; i < active_.size(); ++i) {
    Active& active = active_[i];
    if (!active.cancelled && active.due > now) {
      if (kept != i) active_[kept] = std::move(active);
      ++kept;
      continue;
    }
    StepEvent event;
    if (active.cancelled) {
      Generation nothing;
      nothing.finish_reason = FinishReason::kCancelled;
      nothing.usage.prompt_tokens = active.request.prompt.tokens;
      event.done = std::move(nothing);
    } else {
      event.done = answer(active.request);
      if (*event.done) event.text_delta = (*event.done)->text;
    }
    kv_tokens_used_ -= active.kv_tokens;
    keys_.erase(active.request.key);
    event.key = std::move(active.request.key);
    events.push_back(std::move(event));
  }
  active_.resize(kept);
  return events;
}

void EchoEngine::cancel(std::string_view key) {
  for (Active& active : active_) {
    if (active.request.key == key) active.cancelled = true;
  }
}

EngineLoad EchoEngine::load() const {
  return {active_.size(), info_.sequences_max - active_.size(), info_.kv_tokens_max - kv_tokens_used_};
}

}  // namespace sluice
