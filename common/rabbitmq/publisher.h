// Publishes with confirms on a connection of its own, many messages in flight at once.
//
// Safe for concurrent use: calls from several threads share one pipelined window. One I/O thread owns the
// connection; it reconnects with growing pauses and never computes.
//
// What becomes of a message:
//   success          the broker has it safely (on a quorum queue: a majority has it on disk)
//   kNotFound        mandatory, and no queue is bound to its routing key
//   kExhausted       the window is full, or the broker refused it (nack: a queue at its limit): retry later
//   kUnavailable     not connected, or the broker has blocked publishers (memory or disk alarm): not sent
//   kDeadline        the deadline passed before it was sent
//   kOutcomeUnknown  sent, but unconfirmed at the deadline or when the connection was lost. If the broker
//   confirmed
//                    nothing at all since it was sent, the connection is closed, and the outcome of all
//                    others in flight is unknown too.
//   kInvalid         a name longer than AMQP's 255 bytes
//   kCancelled       stop() was called before it was sent
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/base/rng.h"
#include "common/log/log.h"
#include "common/rabbitmq/config.h"
#include "common/rabbitmq/message.h"
#include "common/rabbitmq/topology.h"

namespace sluice {

struct PublisherConfig {
  // Declared after each connect, so that a wiped broker has its exchanges back; null = nothing. Task queues
  // are declared when a message turns out to be unroutable (kNotFound). Must outlive the publisher.
  const Topology* topology = &Topology::builtin();
  std::size_t window_messages_max = 2000;    // Sent and unconfirmed.
  std::size_t waiting_messages_max = 20000;  // Accepted and not yet sent; beyond it kExhausted.
};

struct PublisherStats {
  bool connected = false;
  bool blocked = false;  // The broker told us to stop publishing.
  std::uint64_t confirmed = 0;
  std::uint64_t returned = 0;  // Unroutable.
  std::uint64_t refused = 0;   // Negatively confirmed.
  std::uint64_t unknown = 0;
  std::uint64_t connects = 0;
  std::size_t in_flight = 0;
};

class Publisher {
 public:
  // Runs on the I/O thread: must return at once and never call publish_all().
  using Done = std::function<void(Status)>;

  // Clock and Rng must outlive the publisher.
  Publisher(RabbitmqConfig config, PublisherConfig limits, Clock& clock, Rng& rng, Log log);
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  void start();
  // Ends the thread within a bounded time (a second or two; while it connects to a broker that hangs, up to
  // the time limits of connecting); what was sent and unconfirmed ends as
  // kOutcomeUnknown. May be called twice, or before start().
  void stop();

  // Sends all, then waits for all confirms: one status for each message, in order. Returns by the deadline.
  std::vector<Status> publish_all(std::vector<Message> messages, Deadline deadline);
  Status publish(Message message, Deadline deadline);
  // Calls `done` exactly once, by about the deadline; from this call itself if the message is refused at
  // once.
  void publish_async(Message message, Deadline deadline, Done done);

  // Connected and not blocked.
  bool ready() const;
  // Waits until ready() or the deadline.
  bool wait_ready(Deadline deadline);
  PublisherStats stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
