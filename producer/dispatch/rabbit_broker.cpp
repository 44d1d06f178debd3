#include "producer/dispatch/rabbit_broker.h"

#include <utility>

namespace sluice::producer {

std::vector<Status> RabbitBroker::publish_all(std::vector<Message> messages, Deadline deadline) {
  return publisher_.publish_all(std::move(messages), deadline);
}

Result<QueueDepth> RabbitBroker::depth(const std::string& queue, Deadline deadline) {
  return control_.depth(queue, deadline);
}

Status RabbitBroker::declare_task_queue(const std::string& model, Priority priority, Deadline deadline) {
  SLUICE_TRY(declare_topology(deadline));
  return control_.declare(Topology::builtin().task_queue(model, priority), deadline);
}

Status RabbitBroker::declare_topology(Deadline deadline) {
  return control_.declare(Topology::builtin(), deadline);
}

}  // namespace sluice::producer
