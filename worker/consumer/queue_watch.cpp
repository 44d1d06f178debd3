#include "worker/consumer/queue_watch.h"

#include <utility>

namespace sluice::worker {

QueueWatch::QueueWatch(QueueWatchConfig config, JobStore& store, Clock& clock, Log log, WorkerMetrics metrics)
    : config_(std::move(config)),
      store_(store),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      loop_("queue_watch", clock, [this] { return look(); }) {}

Result<std::int64_t> QueueWatch::count() {
  const std::int64_t enough = std::int64_t{config_.deep_jobs} + 1;
  std::int64_t waiting = 0;
  for (const Priority priority : {Priority::kHigh, Priority::kNormal, Priority::kLow}) {
    if (waiting >= enough) break;
    SLUICE_ASSIGN(const std::int64_t more, store_.count_queued(config_.model, priority, enough - waiting,
                                                               Deadline::in(clock_, config_.store_timeout)));
    waiting += more;
  }
  return waiting;
}

Duration QueueWatch::look() {
  const auto waiting = count();
  if (!waiting) {
    metrics_.store_errors.with({"count"}).add();
    log_.warn_limited("count_failed", {{"code", error_code_name(waiting.error().code)},
                                       {"message", waiting.error().message}});
    return config_.interval;
  }
  const bool was_deep = deep_;
  const bool deep = *waiting > (was_deep ? config_.deep_jobs / 2 : config_.deep_jobs);
  if (deep != was_deep) log_.info(deep ? "queue_deep" : "queue_short", {{"jobs_waiting", *waiting}});
  deep_ = deep;
  metrics_.queue_deep.set(deep ? 1 : 0);
  return config_.interval;
}

}  // namespace sluice::worker
