// Where task messages come from, as far as this folder needs it: RabbitMQ in the worker, a list in tests.
//
// Safe for concurrent use. Acks never fail: if the connection is lost first, the message comes again, and its
// job turns out to be started or ended already.
#pragma once

#include <span>

#include "common/rabbitmq/message.h"

namespace sluice::worker {

class TaskSource {
 public:
  virtual ~TaskSource() = default;
  virtual void ack(std::span<const DeliveryTag> tags) = 0;
  // Back to its queue, for any worker.
  virtual void give_back(const DeliveryTag& tag) = 0;
  // To the dead-letter queue: nobody can read it.
  virtual void reject(const DeliveryTag& tag) = 0;
  // No new deliveries from now on; those under way stay valid.
  virtual void pause() = 0;
  // Deliveries again.
  virtual void resume() = 0;
};

}  // namespace sluice::worker
