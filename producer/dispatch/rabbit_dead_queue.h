// tasks.dead in RabbitMQ, on a connection of its own for as long as it is open.
#pragma once

#include <condition_variable>
#include <deque>
#include <vector>

#include "common/base/mutex.h"
#include "common/rabbitmq/config.h"
#include "common/rabbitmq/consumer.h"
#include "producer/dispatch/dead_mirror.h"

namespace sluice::producer {

class RabbitDeadQueue final : public DeadQueueReader {
 public:
  // At most `prefetch` messages are unacked at a time. Clock and Rng must outlive it.
  RabbitDeadQueue(const RabbitmqConfig& config, int prefetch, Clock& clock, Rng& rng, const Log& log);
  // Sends the acks that were asked for.
  ~RabbitDeadQueue() override;
  std::vector<Delivery> take(std::size_t max, Deadline deadline) override;
  void ack(const DeliveryTag& tag) override { consumer_.ack(tag); }

 private:
  Clock& clock_;
  Mutex mutex_;
  std::condition_variable came_;
  std::deque<Delivery> inbox_ GUARDED_BY(mutex_);
  Consumer consumer_;
};

}  // namespace sluice::producer
