#include "worker/main/rabbit_task_source.h"

#include <utility>

namespace sluice::worker {

namespace {

constexpr std::array<Priority, kPriorities> kLanes = {Priority::kHigh, Priority::kNormal, Priority::kLow};

ConsumerConfig subscriptions(const std::string& model, int prefetch) {
  const Topology& topology = Topology::builtin();
  ConsumerConfig config;
  config.exchanges = topology.exchanges();
  for (const Priority lane : kLanes) {
    Subscription subscription;
    subscription.queue = topology.task_queue(model, lane);
    subscription.prefetch = prefetch;
    config.subscriptions.push_back(std::move(subscription));
  }
  return config;
}

}  // namespace

RabbitTaskSource::RabbitTaskSource(const RabbitmqConfig& config, const std::string& model, int prefetch,
                                   OnTask on_task, Clock& clock, Rng& rng, const Log& log)
    : queues_{task_queue_name(model, kLanes[0]), task_queue_name(model, kLanes[1]),
              task_queue_name(model, kLanes[2])},
      prefetch_(prefetch),
      on_task_(std::move(on_task)),
      consumer_(
          config, subscriptions(model, prefetch),
          [this](Delivery&& delivery) { on_delivery(std::move(delivery)); }, clock, rng, log) {}

void RabbitTaskSource::pause() {
  for (const std::string& queue : queues_) consumer_.set_prefetch(queue, 0);
}

void RabbitTaskSource::resume() {
  for (const std::string& queue : queues_) consumer_.set_prefetch(queue, prefetch_);
}

void RabbitTaskSource::on_delivery(Delivery&& delivery) {
  Priority lane = Priority::kNormal;
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    if (delivery.queue == queues_[i]) lane = kLanes[i];
  }
  on_task_(lane, std::move(delivery));
}

}  // namespace sluice::worker
