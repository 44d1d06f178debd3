// Publishes the outbox: every event row goes to the events exchange, confirmed, and again until the callback
// service has committed a decision about it.
//
// An event that went out before is published again only if the callback service's queue was empty since: then
// its message is gone. Runs on the loop's own thread. Store, broker and clock must outlive it.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <vector>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/rng.h"
#include "common/log/log.h"
#include "common/store/event_store.h"
#include "producer/dispatch/broker.h"
#include "producer/metrics/producer_metrics.h"

namespace sluice::producer {

struct RelayConfig {
  int batch_max = 512;
  std::chrono::milliseconds poll_every{25};  // What a webhook waits for at most before it is on its way.
  std::chrono::milliseconds poll_busy{5};    // The same after a look that found something.
  // An event that is due again was published longer ago than this: less than the store's republish_after.
  std::chrono::milliseconds due_again_after{4'500};
  std::chrono::milliseconds publish_timeout{10'000};
  std::chrono::milliseconds call_timeout{5'000};
  BackoffConfig down{std::chrono::milliseconds(100), std::chrono::seconds(2), 0.2};
};

class Relay {
 public:
  using OwnedShards = std::function<std::vector<int>()>;
  // Told of each due event before it is published: whoever waits for that job in this process learns first.
  using OnEvent = std::function<void(const EventRef&)>;

  Relay(EventStore& store, Broker& broker, OwnedShards owned, OnEvent on_event, RelayConfig config,
        Clock& clock, Rng& rng, Log log, LoopMetrics metrics);

  void start() { loop_.start(); }
  void stop() { loop_.stop(); }
  // One turn of the loop; for tests.
  Duration run_once();

 private:
  struct Sent {
    std::vector<EventId> confirmed;
    std::vector<EventId> unknown;
    bool all = true;
  };
  Sent send(std::vector<EventRef> events);
  // Whether messages of events that are due again can't be in the queue any more. An error: not known.
  Result<bool> lost();
  Deadline call_deadline() const { return Deadline::in(clock_, config_.call_timeout); }

  EventStore& store_;
  Broker& broker_;
  const OwnedShards owned_;
  const OnEvent on_event_;
  const RelayConfig config_;
  Clock& clock_;
  const Log log_;
  const LoopMetrics metrics_;
  Backoff backoff_;
  std::optional<SteadyTime> empty_at_;  // When the queue was last seen empty, or missing.
  Loop loop_;
};

}  // namespace sluice::producer
