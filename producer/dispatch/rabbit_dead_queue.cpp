#include "producer/dispatch/rabbit_dead_queue.h"

#include <utility>

#include "common/rabbitmq/topology.h"

namespace sluice::producer {

namespace {

ConsumerConfig subscription(int prefetch) {
  ConsumerConfig config;
  for (const BoundQueue& queue : Topology::builtin().queues()) {
    if (queue.queue.name != kDeadQueue) continue;
    Subscription dead;
    dead.queue = queue;
    dead.prefetch = prefetch;
    config.subscriptions.push_back(std::move(dead));
  }
  return config;
}

}  // namespace

RabbitDeadQueue::RabbitDeadQueue(const RabbitmqConfig& config, int prefetch, Clock& clock, Rng& rng,
                                 const Log& log)
    : clock_(clock),
      consumer_(
          config, subscription(prefetch),
          [this](Delivery&& delivery) {
            {
              MutexLock lock(mutex_);
              inbox_.push_back(std::move(delivery));
            }
            came_.notify_all();
          },
          clock, rng, log) {
  consumer_.start();
}

RabbitDeadQueue::~RabbitDeadQueue() {
  consumer_.stop();
}

std::vector<Delivery> RabbitDeadQueue::take(std::size_t max, Deadline deadline) {
  MutexLock lock(mutex_);
  while (inbox_.empty() && !deadline.passed(clock_)) lock.wait_until(clock_, came_, deadline.at());
  std::vector<Delivery> taken;
  while (!inbox_.empty() && taken.size() < max) {
    taken.push_back(std::move(inbox_.front()));
    inbox_.pop_front();
  }
  return taken;
}

}  // namespace sluice::producer
