// Makes one delivery of several ends of a batch's lines, once they are enough or the first has waited long
// enough.
//
// Several processes may do it at once. Runs on the loop's own thread. The groups and the clock must outlive
// it.
#pragma once

#include <chrono>
#include <functional>

#include "callback/metrics/callback_metrics.h"
#include "callback/store/line_groups.h"
#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/log/log.h"

namespace sluice::callback {

struct LineGrouperConfig {
  std::chrono::milliseconds look_every{250};     // What a group may come late by.
  std::chrono::milliseconds retry_after{1'000};  // After a failure.
  std::chrono::milliseconds call_timeout{10'000};
  int groups_max = 100;  // Made in one turn.
};

class LineGrouper {
 public:
  // `on_deliveries` runs after new deliveries were committed.
  LineGrouper(LineGroups& groups, std::function<void()> on_deliveries, LineGrouperConfig config, Clock& clock,
              Log log, metrics::Counter made);

  void start() { loop_.start(); }
  void stop() { loop_.stop(); }

 private:
  Duration run_once();

  LineGroups& groups_;
  const std::function<void()> on_deliveries_;
  const LineGrouperConfig config_;
  Clock& clock_;
  const Log log_;
  const metrics::Counter made_;
  Loop loop_;
};

}  // namespace sluice::callback
