// Listens to the broker for the loops: events of jobs that ended (a queue of this process's own, gone with
// its connection), and messages that hit the broker's delivery limit. The latter are only taken away: their
// rows are still due, so that the dispatcher decides about them, and poison is decided by the database.
//
// Safe for concurrent use. Clock and Rng must outlive it.
#pragma once

#include <functional>
#include <memory>

#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/ids/ids.h"
#include "common/log/log.h"
#include "common/rabbitmq/config.h"
#include "producer/metrics/producer_metrics.h"

namespace sluice::producer {

class FinalEvents {
 public:
  // `on_final` runs for each event; `on_gap` when events may have been missed. Both on the connection's own
  // thread: they must be quick.
  FinalEvents(RabbitmqConfig config, std::function<void(const JobId&)> on_final, std::function<void()> on_gap,
              Clock& clock, Rng& rng, Log log, LoopMetrics metrics);
  ~FinalEvents();
  void start();
  void stop();
  bool connected() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::producer
