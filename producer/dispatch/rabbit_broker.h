// Broker over the RabbitMQ adapter. Publisher and control must outlive it.
#pragma once

#include "common/rabbitmq/publisher.h"
#include "common/rabbitmq/topology.h"
#include "producer/dispatch/broker.h"

namespace sluice::producer {

class RabbitBroker final : public Broker {
 public:
  RabbitBroker(Publisher& publisher, BrokerControl& control) : publisher_(publisher), control_(control) {}

  bool ready() const override { return publisher_.ready(); }
  std::vector<Status> publish_all(std::vector<Message> messages, Deadline deadline) override;
  Result<QueueDepth> depth(const std::string& queue, Deadline deadline) override;
  Status declare_task_queue(const std::string& model, Priority priority, Deadline deadline) override;
  Status declare_topology(Deadline deadline) override;

 private:
  Publisher& publisher_;
  BrokerControl& control_;
};

}  // namespace sluice::producer
