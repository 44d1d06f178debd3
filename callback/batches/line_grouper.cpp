#include "callback/batches/line_grouper.h"

#include <utility>

namespace sluice::callback {

LineGrouper::LineGrouper(LineGroups& groups, std::function<void()> on_deliveries, LineGrouperConfig config,
                         Clock& clock, Log log, metrics::Counter made)
    : groups_(groups),
      on_deliveries_(std::move(on_deliveries)),
      config_(config),
      clock_(clock),
      log_(std::move(log)),
      made_(std::move(made)),
      loop_("line-grouper", clock, [this] { return run_once(); }) {}

Duration LineGrouper::run_once() {
  Told told;
  if (auto done = groups_.tell_due(config_.groups_max, Deadline::in(clock_, config_.call_timeout))) {
    told = std::move(*done);
  } else {
    told.failed = std::move(done.error());
  }
  if (told.failed) log_.warn_limited("line_groups_failed", {{"error", told.failed->message}});
  made_.add(told.deliveries);
  if (told.deliveries > 0) on_deliveries_();
  if (told.deliveries >= config_.groups_max) return Duration(0);
  return told.failed ? config_.retry_after : config_.look_every;
}

}  // namespace sluice::callback
