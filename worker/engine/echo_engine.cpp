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
  active.begun = active.due = clock_.steady_now();
  if (misbehaves(request.fault, FaultKind::kSlow)) {
    active.due += std::chrono::milliseconds(std::max(0, request.fault->ms));
    active.answer = std::move(*answer(request));
  }
  active.request = std::move(request);
  keys_.insert(active.request.key);
  kv_tokens_used_ += active.kv_tokens;
  active_.push_back(std::move(active));
  return {};
}

// When one more word is to be out: they are spread evenly over its time, the last with its end.
SteadyTime EchoEngine::Active::next_word_at() const {
  if (!answer || words_given + 1 >= answer->usage.completion_tokens) return due;
  const auto word = (due - begun) / static_cast<std::int64_t>(answer->usage.completion_tokens);
  return begun + word * static_cast<std::int64_t>(words_given + 1);
}

std::optional<StepEvent> EchoEngine::next_words(Active& active, SteadyTime now) {
  const std::size_t words_before = active.words_given;
  const std::size_t begin = active.bytes_given;
  while (active.next_word_at() <= now && active.next_word_at() < active.due) {
    const std::string_view left = std::string_view(active.answer->text).substr(active.bytes_given);
    active.bytes_given += count_words(left, 1).end;
    ++active.words_given;
  }
  if (active.bytes_given == begin) return std::nullopt;
  StepEvent event;
  event.key = active.request.key;
  event.text_delta = active.answer->text.substr(begin, active.bytes_given - begin);
  event.tokens = active.words_given - words_before;
  return event;
}

// Until the first one has something to say, if none has.
void EchoEngine::wait_for_due(Duration wait_max) {
  const SteadyTime now = clock_.steady_now();
  SteadyTime until = now + std::max(Duration::zero(), wait_max);
  for (const Active& active : active_) {
    if (active.cancelled || active.next_word_at() <= now) return;
    until = std::min(until, active.next_word_at());
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
      if (auto words = next_words(active, now)) events.push_back(std::move(*words));
      if (kept != i) active_[kept] = std::move(active);
      ++kept;
      continue;
    }
    StepEvent event;
    if (active.cancelled) {
      Generation nothing;
      if (active.answer) nothing.text = active.answer->text.substr(0, active.bytes_given);
      nothing.finish_reason = FinishReason::kCancelled;
      nothing.usage.prompt_tokens = active.request.prompt.tokens;
      event.done = std::move(nothing);
    } else {
      if (!active.answer) {
        event.done = answer(active.request);
      } else {
        event.done.emplace(std::move(*active.answer));
      }
      if (*event.done) {
        event.text_delta = (*event.done)->text.substr(active.bytes_given);
        event.tokens = (*event.done)->usage.completion_tokens - active.words_given;
      }
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
