#include "producer/dispatch/rescuer.h"

#include <utility>

namespace sluice::producer {

Rescuer::Rescuer(JobStore& store, OwnedShards owned, std::function<void()> on_requeued, RescuerConfig config,
                 Clock& clock, Log log, LoopMetrics metrics)
    : store_(store),
      owned_(std::move(owned)),
      on_requeued_(std::move(on_requeued)),
      config_(config),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      loop_("rescuer", clock, [this] { return run_once(); }) {}

Duration Rescuer::run_once() {
  // Whoever runs loops at all does this too; it needs no shard of its own.
  if (owned_().empty()) return config_.look_every;
  const auto rescued = store_.rescue_lapsed(config_.batch_max, Deadline::in(clock_, config_.call_timeout));
  const auto expired = store_.expire_due(config_.batch_max, Deadline::in(clock_, config_.call_timeout));
  const auto settled = store_.settle_followers(config_.batch_max, Deadline::in(clock_, config_.call_timeout));
  if (rescued && *rescued > 0) {
    metrics_.rescued.add(*rescued);
    log_.warn("leases_lapsed", {{"jobs", *rescued}});
    on_requeued_();
  }
  if (expired && *expired > 0) {
    metrics_.expired.add(*expired);
    log_.info("jobs_expired", {{"jobs", *expired}});
  }
  if (settled && *settled > 0) on_requeued_();  // Some may run by themselves now.
  if (!rescued || !expired || !settled) {
    metrics_.loop_failures.with({"rescuer"}).add();
    const Error& error = !rescued ? rescued.error() : !expired ? expired.error() : settled.error();
    log_.warn_limited("rescue_failed", {{"error", error.message}});
    return config_.retry_after;
  }
  const bool more = *rescued == config_.batch_max || *expired == config_.batch_max || *settled > 0;
  return more ? Duration::zero() : Duration(config_.look_every);
}

}  // namespace sluice::producer
