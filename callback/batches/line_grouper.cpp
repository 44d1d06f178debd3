#include "callback/batches/line_grouper.h"

#include <algorithm>
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
  const SteadyTime began = clock_.steady_now();
  const auto made = groups_.tell_due(config_.groups_max, Deadline::in(clock_, config_.call_timeout));
  if (!made) {
    log_.warn_limited("line_groups_failed", {{"error", made.error().message}});
    return config_.retry_after;
  }
  made_.add(*made);
  if (*made > 0) on_deliveries_();
  if (*made >= config_.groups_max) return Duration(0);
  // Where so many wait that a look is long, it is taken more seldom.
  return std::max<Duration>(config_.look_every, 10 * (clock_.steady_now() - began));
}

}  // namespace sluice::callback
