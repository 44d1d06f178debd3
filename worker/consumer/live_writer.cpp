#include "worker/consumer/live_writer.h"

#include <algorithm>
#include <utility>

#include "common/base/failpoint.h"

namespace sluice::worker {

namespace {

constexpr Duration kIdle = std::chrono::seconds(5);
// One round's; what is left has its turn in the next.
constexpr std::size_t kRoundBytesMax = 4U << 20;

}  // namespace

LiveWriter::LiveWriter(LiveConfig config, LiveSink& sink, Clock& clock, Log log, WorkerMetrics metrics)
    : config_(config),
      sink_(sink),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      loop_("live-text", clock, [this] { return run_once(); }) {}

void LiveWriter::begin(const std::string& key, const TaskRef& start, bool from_start) {
  bool wake = from_start;
  {
    MutexLock lock(mutex_);
    wake = wake || starts_.empty();
    Start added;
    added.ref = start;
    added.told = from_start;
    if (starts_.emplace(key, std::move(added)).second && from_start) ++told_;
    metrics_.live_jobs.set(static_cast<double>(told_));
  }
  if (wake) loop_.wake();
}

void LiveWriter::add(const std::vector<Progress>& progress) {
  MutexLock lock(mutex_);
  for (const Progress& said : progress) {
    const auto found = starts_.find(said.key);
    if (found == starts_.end()) continue;
    Start& start = found->second;
    start.tokens += said.tokens;
    const std::size_t bytes =
        start.text.size() + start.reasoning.size() + said.text.size() + said.reasoning.size();
    start.too_long = start.too_long || bytes > config_.text_bytes_max;
    if (start.too_long) continue;
    start.reasoning += said.reasoning;
    start.text += said.text;
  }
}

void LiveWriter::end(const std::string& key) {
  Start gone;  // Destroyed after the lock.
  MutexLock lock(mutex_);
  const auto found = starts_.find(key);
  if (found == starts_.end()) return;
  if (found->second.told) --told_;
  gone = std::move(found->second);
  starts_.erase(found);
  metrics_.live_jobs.set(static_cast<double>(told_));
}

Duration LiveWriter::run_once() {
  if (clock_.steady_now() >= look_at_) look_for_watchers();
  const Batch batch = collect();
  if (!batch.writes.empty()) put(batch);
  MutexLock lock(mutex_);
  if (starts_.empty()) return kIdle;
  if (told_ > 0) return config_.write_every;
  return std::max(look_at_ - clock_.steady_now(), Duration::zero());
}

void LiveWriter::look_for_watchers() {
  look_at_ = clock_.steady_now() + config_.look_every;
  std::vector<std::string> keys;
  std::vector<JobId> ids;
  {
    MutexLock lock(mutex_);
    for (const auto& [key, start] : starts_) {
      if (start.told) continue;
      keys.push_back(key);
      ids.push_back(start.ref.id);
    }
  }
  if (ids.empty()) return;
  const auto watched = sink_.watched(ids, Deadline::in(clock_, config_.sink_timeout));
  if (!watched || watched->size() != ids.size()) {
    metrics_.live_errors.add();
    return;
  }
  MutexLock lock(mutex_);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto found = starts_.find(keys[i]);
    if (!(*watched)[i] || found == starts_.end()) continue;
    found->second.told = true;
    ++told_;
  }
  metrics_.live_jobs.set(static_cast<double>(told_));
}

LiveWriter::Batch LiveWriter::collect() {
  Batch batch;
  std::size_t bytes = 0;
  MutexLock lock(mutex_);
  for (auto& [key, start] : starts_) {
    if (!start.told || !start.has_news() || bytes > kRoundBytesMax) continue;
    const bool whole = start.afresh || start.pieces >= config_.pieces_max;
    LiveSink::Write write{start.ref.id, start.ref.generation, {}, whole};
    write.live.attempt = start.ref.attempt;
    write.live.tokens = static_cast<std::int64_t>(start.tokens);
    write.live.text_at = whole ? 0 : start.text_put;
    write.live.reasoning_at = whole ? 0 : start.reasoning_put;
    write.live.text = start.text.substr(write.live.text_at);
    write.live.reasoning = start.reasoning.substr(write.live.reasoning_at);
    bytes += write.live.text.size() + write.live.reasoning.size();
    batch.keys.push_back(key);
    batch.writes.push_back(std::move(write));
  }
  return batch;
}

void LiveWriter::put(const Batch& batch) {
  const auto done = sink_.put(batch.writes, Deadline::in(clock_, config_.sink_timeout));
  SLUICE_FAILPOINT("worker.after_live_put");
  const bool good = done && done->size() == batch.writes.size();
  if (!good) {
    metrics_.live_errors.add();
    if (!done) log_.warn_limited("live_text_failed", {{"message", done.error().message}});
  }
  MutexLock lock(mutex_);
  for (std::size_t i = 0; i < batch.keys.size(); ++i) {
    const auto found = starts_.find(batch.keys[i]);
    if (found == starts_.end()) continue;
    Start& start = found->second;
    const LiveText& live = batch.writes[i].live;
    // What may have been put, or lost since, is told again as a whole; readers drop what they know.
    start.afresh = !good || !(*done)[i];
    if (start.afresh) continue;
    metrics_.live_entries.add();
    start.begin_put = true;
    start.text_put = live.text_at + live.text.size();
    start.reasoning_put = live.reasoning_at + live.reasoning.size();
    start.pieces = batch.writes[i].afresh ? 1 : start.pieces + 1;
  }
}

}  // namespace sluice::worker
