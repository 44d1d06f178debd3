// What the background loops ask of RabbitMQ, so that tests can play it.
//
// Safe for concurrent use. Errors as in common/rabbitmq (publisher.h, broker_control.h).
#pragma once

#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/job/job.h"
#include "common/rabbitmq/broker_control.h"
#include "common/rabbitmq/message.h"

namespace sluice::producer {

class Broker {
 public:
  virtual ~Broker() = default;
  // Publishing is worth a try. Cheap.
  virtual bool ready() const = 0;
  // One answer for each, in order.
  virtual std::vector<Status> publish_all(std::vector<Message> messages, Deadline deadline) = 0;
  virtual Result<QueueDepth> depth(const std::string& queue, Deadline deadline) = 0;
  // Exchanges, fixed queues and bindings; then the queue of the model and class. Idempotent.
  virtual Status declare_task_queue(const std::string& model, Priority priority, Deadline deadline) = 0;
  virtual Status declare_topology(Deadline deadline) = 0;
};

// What an answer of publish_all() means for whoever keeps the truth in a database.
enum class PublishOutcome {
  kConfirmed,  // The broker has it.
  kNoRoute,    // Exchange or queue is missing: declare, then again.
  kNotSent,    // It certainly isn't there: again later.
  kUnknown,    // It may be there: look again after a while.
};
PublishOutcome publish_outcome(const Status& status);

}  // namespace sluice::producer
