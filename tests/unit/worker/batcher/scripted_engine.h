// An engine that a test steers: it says what is in it, and ends requests when told to.
//
// The scripting side is safe for concurrent use with the engine's owner.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "worker/engine/engine.h"

namespace sluice::worker {

class ScriptedEngine final : public Engine {
 public:
  explicit ScriptedEngine(EngineInfo info = default_info()) : info_(std::move(info)) {}
  static EngineInfo default_info() {
    EngineInfo info;
    info.engine = "scripted";
    info.model = "m";
    info.context_tokens = 1000;
    info.sequences_max = 64;
    info.kv_tokens_max = 0;
    return info;
  }

  // --- the test's side ---
  // Every request ends by itself at the next step, answering "<prompt> done".
  void answer_all() {
    std::lock_guard lock(mutex_);
    answering_all_ = true;
    changed_.notify_all();
  }
  void finish(const std::string& key,
              GenerationOutcome outcome = Generation{"ok", {}, FinishReason::kStop, {1, 1}}) {
    std::lock_guard lock(mutex_);
    endings_.emplace_back(key, std::move(outcome));
    changed_.notify_all();
  }
  // The next step brings `text` of it, which goes on.
  void say(const std::string& key, const std::string& text) {
    std::lock_guard lock(mutex_);
    StepEvent event;
    event.key = key;
    event.text_delta = text;
    event.tokens = 1;
    said_.push_back(std::move(event));
    changed_.notify_all();
  }
  // The next add() of a request whose prompt is `text` fails so, `times` times.
  void refuse(const std::string& text, ErrorCode code, int times = 1) {
    std::lock_guard lock(mutex_);
    refusals_[text] = {code, times};
  }
  // In an engine with kv_tokens_max: while a request whose prompt is `text` is in it, it takes `tokens` of
  // the room, as one does that shares the rest with others. Unless told: what kv_tokens_needed says.
  void takes(const std::string& text, std::size_t tokens) {
    std::lock_guard lock(mutex_);
    takes_[text] = tokens;
  }
  // What load() tells besides the places and the room that are free.
  void report(const EngineLoad& load) {
    std::lock_guard lock(mutex_);
    reported_ = load;
  }
  // False if it takes longer than a test should.
  bool wait_added(std::size_t count) {
    return wait([&] { return added_.size() >= count; });
  }
  bool wait_active(std::size_t count) {
    return wait([&] { return active_.size() == count; });
  }
  // That many more steps are over, each begun after this call.
  bool wait_steps(int count) {
    std::unique_lock lock(mutex_);
    const int until = steps_begun_ + count + 1;
    return changed_.wait_for(lock, kPatience, [&] { return steps_begun_ >= until; });
  }
  std::vector<std::string> added() const {
    std::lock_guard lock(mutex_);
    return added_;
  }
  // Which requests were to be computed with the faster weights.
  std::set<std::string> fast() const {
    std::lock_guard lock(mutex_);
    return fast_;
  }
  // Who was in the engine together with `key` at any time.
  std::set<std::string> mates_of(const std::string& key) const {
    std::lock_guard lock(mutex_);
    const auto found = mates_.find(key);
    return found == mates_.end() ? std::set<std::string>() : found->second;
  }
  std::size_t active_peak() const {
    std::lock_guard lock(mutex_);
    return peak_;
  }

  // --- Engine ---
  const EngineInfo& info() const override { return info_; }
  Result<Prompt> prepare(const PromptInput& input) const override {
    Prompt prompt;
    prompt.text = input.messages.empty() ? input.raw : input.messages.back().content;
    prompt.tokens = prompt.text.size();
    if (prompt.tokens >= info_.context_tokens)
      return fail(ErrorCode::kInvalid, "prompt longer than the context");
    return prompt;
  }
  std::size_t kv_tokens_needed(const Prompt& prompt, const SamplingParams& params) const override {
    return prompt.tokens + static_cast<std::size_t>(params.max_tokens);
  }
  Status add(GenerationRequest&& request) override {
    std::lock_guard lock(mutex_);
    if (const auto found = refusals_.find(request.prompt.text);
        found != refusals_.end() && found->second.second > 0) {
      --found->second.second;
      return fail(found->second.first, "refused as scripted");
    }
    for (const std::string& other : active_) {
      mates_[other].insert(request.key);
      mates_[request.key].insert(other);
    }
    active_.push_back(request.key);
    added_.push_back(request.key);
    if (request.fast) fast_.insert(request.key);
    texts_[request.key] = request.prompt.text;
    const auto taken = takes_.find(request.prompt.text);
    taken_[request.key] =
        taken == takes_.end() ? kv_tokens_needed(request.prompt, request.params) : taken->second;
    peak_ = std::max(peak_, active_.size());
    changed_.notify_all();
    return {};
  }
  std::vector<StepEvent> step(Duration) override {
    std::unique_lock lock(mutex_);
    ++steps_begun_;
    changed_.notify_all();
    // A step takes a moment; whoever has something for it cuts that short.
    changed_.wait_for(lock, std::chrono::milliseconds(1), [&] {
      return !endings_.empty() || answering_all_ || !cancelled_.empty() || !said_.empty();
    });
    std::vector<StepEvent> events = std::exchange(said_, {});
    const auto end = [&](const std::string& key, GenerationOutcome outcome) {
      const auto found = std::find(active_.begin(), active_.end(), key);
      if (found == active_.end()) return;
      active_.erase(found);
      taken_.erase(key);
      StepEvent event;
      event.key = key;
      event.done = std::move(outcome);
      events.push_back(std::move(event));
    };
    for (auto& [key, outcome] : endings_) end(key, std::move(outcome));
    endings_.clear();
    for (const std::string& key : cancelled_) end(key, Generation{"", {}, FinishReason::kCancelled, {1, 0}});
    cancelled_.clear();
    while (answering_all_ && !active_.empty()) {
      const std::string key = active_.front();
      end(key, Generation{texts_[key] + " done", {}, FinishReason::kStop, {1, 1}});
    }
    changed_.notify_all();
    return events;
  }
  void cancel(std::string_view key) override {
    std::lock_guard lock(mutex_);
    cancelled_.emplace_back(key);
  }
  std::size_t active() const override {
    std::lock_guard lock(mutex_);
    return active_.size();
  }
  EngineLoad load() const override {
    std::lock_guard lock(mutex_);
    EngineLoad load = reported_;
    load.active = active_.size();
    load.sequences_free = info_.sequences_max - active_.size();
    std::size_t taken = 0;
    for (const auto& [key, tokens] : taken_) taken += tokens;
    load.kv_tokens_free = info_.kv_tokens_max - std::min(info_.kv_tokens_max, taken);
    return load;
  }

 private:
  static constexpr std::chrono::seconds kPatience{20};
  template <class Condition>
  bool wait(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, condition);
  }

  const EngineInfo info_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool answering_all_ = false;
  int steps_begun_ = 0;
  std::size_t peak_ = 0;
  std::vector<std::string> active_;
  std::vector<std::string> added_;
  std::set<std::string> fast_;
  std::vector<std::string> cancelled_;
  std::vector<StepEvent> said_;
  std::map<std::string, std::string> texts_;
  std::map<std::string, std::size_t> takes_;  // By text …
  std::map<std::string, std::size_t> taken_;  // … and by key, of who is in it.
  EngineLoad reported_;
  std::map<std::string, std::set<std::string>> mates_;
  std::map<std::string, std::pair<ErrorCode, int>> refusals_;
  std::deque<std::pair<std::string, GenerationOutcome>> endings_;
};

}  // namespace sluice::worker
