// The task queues of one model in RabbitMQ, one for each priority. Each has its own prefetch, so that a full
// line of low never keeps high from being delivered.
//
// Safe for concurrent use.
#pragma once

#include <array>
#include <functional>
#include <string>

#include "common/rabbitmq/consumer.h"
#include "worker/consumer/task_source.h"

namespace sluice::worker {

class RabbitTaskSource final : public TaskSource {
 public:
  // Runs on the connection's I/O thread: must return at once.
  using OnTask = std::function<void(Priority lane, Delivery&& delivery)>;

  // `clock` and `rng` must outlive it. `prefetch` counts for each priority.
  RabbitTaskSource(const RabbitmqConfig& config, const std::string& model, int prefetch, OnTask on_task,
                   Clock& clock, Rng& rng, const Log& log);

  void start() { consumer_.start(); }
  // Sends the acks that were asked for before.
  void stop() { consumer_.stop(); }
  bool connected() const { return consumer_.connected(); }

  void ack(std::span<const DeliveryTag> tags) override { consumer_.ack(tags); }
  void give_back(const DeliveryTag& tag) override { consumer_.reject(tag, true); }
  void reject(const DeliveryTag& tag) override { consumer_.reject(tag, false); }
  void pause() override;
  void resume() override;

 private:
  void on_delivery(Delivery&& delivery);

  const std::array<std::string, kPriorities> queues_;  // In the order of Priority.
  const int prefetch_;
  const OnTask on_task_;
  Consumer consumer_;
};

}  // namespace sluice::worker
