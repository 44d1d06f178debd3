// Declares, verifies and measures queues, on a connection of its own that is opened when needed.
//
// Safe for concurrent use; calls run one after the other.
// Errors: kUnavailable  not reachable: declarations may have been made in part, and may be repeated
//         kNotFound     an exchange or queue is missing (verify, depth)
//         kConflict     it exists with other arguments (406 PRECONDITION_FAILED): the message names it
//         kDeadline     the deadline passed first
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/rabbitmq/config.h"
#include "common/rabbitmq/topology.h"

namespace sluice {

struct QueueDepth {
  std::uint64_t ready = 0;  // Messages waiting for delivery; unacked ones are not counted.
  std::uint64_t consumers = 0;
};

class BrokerControl {
 public:
  BrokerControl(RabbitmqConfig config, const Clock& clock);  // `clock` must outlive this.
  ~BrokerControl();
  BrokerControl(const BrokerControl&) = delete;
  BrokerControl& operator=(const BrokerControl&) = delete;

  // Exchanges, then queues in order, then bindings. Idempotent.
  Status declare(const Topology& topology, Deadline deadline);
  Status declare(const BoundQueue& queue, Deadline deadline);
  // Everything of the topology exists with these very arguments. Changes nothing.
  Status verify(const Topology& topology, Deadline deadline);
  Result<QueueDepth> depth(std::string_view queue, Deadline deadline);
  // For tests and operators; return the number of messages removed.
  Result<std::uint64_t> purge(std::string_view queue, Deadline deadline);
  Status remove(std::string_view queue, Deadline deadline);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
