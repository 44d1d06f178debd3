// Subscribes to queues on a connection of its own and hands out deliveries; acks come from any thread.
//
// Safe for concurrent use. One I/O thread owns the connection: it keeps heartbeats going while nothing
// happens, reconnects with growing pauses, and subscribes anew when a queue was deleted under it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/base/rng.h"
#include "common/log/log.h"
#include "common/rabbitmq/config.h"
#include "common/rabbitmq/message.h"
#include "common/rabbitmq/topology.h"

namespace sluice {

struct Subscription {
  // Declared (idempotently) with its bindings before each subscription. For a queue of one's own that
  // vanishes with the connection: empty name, exclusive, auto_delete, not durable.
  BoundQueue queue;
  int prefetch = 32;       // Unacked deliveries at a time; 0 = paused from the start.
  bool exclusive = false;  // Refuse other consumers of this queue.
};

struct ConsumerConfig {
  // Declared after each connect, before the subscriptions' queues; null = nothing. Must outlive the consumer.
  const Topology* topology = &Topology::builtin();
  std::vector<ExchangeSpec> exchanges;  // Further ones that the subscriptions bind to.
  std::vector<Subscription> subscriptions;
};

struct ConsumerStats {
  bool connected = false;  // And subscribed to every queue that is not paused.
  std::uint64_t delivered = 0;
  std::uint64_t acked = 0;
  std::uint64_t rejected = 0;
  std::uint64_t stale_acks = 0;  // Dropped, because their connection was gone.
  std::uint64_t connects = 0;
  std::uint64_t cancelled = 0;  // The broker ended a subscription (queue deleted).
};

class Consumer {
 public:
  // Runs on the I/O thread: must hand the delivery on and return at once. At most `prefetch` deliveries of a
  // queue are unacked, so whatever it is handed to needs no more room than the sum of these.
  using OnDelivery = std::function<void(Delivery&&)>;
  // Runs on the I/O thread after each (re)subscription of a queue: messages may have passed by a queue that
  // vanishes with its connection, so its owner now looks at the truth again.
  using OnSubscribed = std::function<void(const std::string& queue)>;

  // Clock and Rng must outlive the consumer.
  Consumer(RabbitmqConfig config, ConsumerConfig consumer, OnDelivery on_delivery, Clock& clock, Rng& rng,
           Log log, OnSubscribed on_subscribed = {});
  ~Consumer();
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;

  void start();
  // Ends the thread within a bounded time (a second or two; while it connects to a broker that hangs, up to
  // the time limits of connecting), sending the acks that were asked for
  // before. No callback runs after it returned. May be called twice, or before start().
  void stop();

  // Queued for the I/O thread; neighbouring acks travel as one. Never fails: if the connection is lost first,
  // the broker delivers the message again.
  void ack(const DeliveryTag& tag);
  void ack(std::span<const DeliveryTag> tags);
  // Gives it back: with `requeue` it is delivered again, otherwise dead-lettered.
  void reject(const DeliveryTag& tag, bool requeue);

  // Subscribes to one more queue, while running too. A queue that is subscribed already keeps its
  // subscription.
  void subscribe(Subscription subscription);
  // 0 pauses the queue: no new deliveries, those under way stay valid. Takes effect soon.
  void set_prefetch(std::string_view queue, int prefetch);

  bool connected() const;
  // Waits until connected (and subscribed) or the deadline.
  bool wait_connected(Deadline deadline);
  ConsumerStats stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
