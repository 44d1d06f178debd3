// Takes event messages off the broker, has them decided in batches, then acks them: commit, then ack.
//
// A batch is whatever waits when the last one is done. While the database can't be reached the messages are
// held, unacked, and tried again. Malformed ones are acked: the event row is still undecided and is published
// again.
//
// offer() runs on the consumer's I/O thread and returns at once; start() and stop() are for one owner.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "callback/intake/decider.h"
#include "callback/metrics/callback_metrics.h"
#include "common/base/backoff.h"
#include "common/base/bounded_queue.h"
#include "common/base/loop.h"
#include "common/base/rng.h"
#include "common/log/log.h"
#include "common/rabbitmq/message.h"

namespace sluice::callback {

struct IntakeConfig {
  int prefetch =
      512;  // Messages held unacked: how many one transaction may take together with those that wait.
  int batch_max = 256;  // Events in one transaction.
  std::chrono::milliseconds call_timeout{10'000};
  BackoffConfig retry{std::chrono::milliseconds(100), std::chrono::seconds(5), 0.2};
};

// What the intake asks of the broker; called from its thread, or from offer().
struct IntakeBroker {
  std::function<void(std::span<const DeliveryTag>)> ack;
  std::function<void(const DeliveryTag&)> give_back;  // To be delivered again.
};

class Intake {
 public:
  // `decider`, `clock` and `rng` must outlive this. `on_deliveries` runs after new deliveries were committed.
  Intake(IntakeConfig config, Decider& decider, IntakeBroker broker, std::function<void()> on_deliveries,
         Clock& clock, Rng& rng, Log log, IntakeMetrics metrics);
  ~Intake();

  void offer(Delivery&& message);
  void start();
  // Messages that are not decided yet stay unacked: the broker delivers them again.
  void stop();

 private:
  Duration round();
  Status settle(std::span<const Delivery> messages);
  void count(const DecideCounts& counts);

  const IntakeConfig config_;
  Decider& decider_;
  const IntakeBroker broker_;
  const std::function<void()> on_deliveries_;
  Clock& clock_;
  const Log log_;
  const IntakeMetrics metrics_;
  BoundedQueue<Delivery> waiting_;
  std::vector<Delivery> batch_;  // The loop's own: what it is trying to settle.
  Backoff backoff_;
  Loop loop_;
};

}  // namespace sluice::callback
