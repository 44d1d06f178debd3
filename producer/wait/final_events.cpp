#include "producer/wait/final_events.h"

#include <utility>

#include "common/rabbitmq/consumer.h"
#include "common/rabbitmq/topology.h"
#include "common/store/event_store.h"

namespace sluice::producer {

namespace {

constexpr int kPrefetch = 500;

ConsumerConfig subscriptions() {
  ConsumerConfig config;
  config.exchanges = Topology::builtin().exchanges();
  Subscription events;
  events.queue.queue.durable = false;
  events.queue.queue.exclusive = true;
  events.queue.queue.auto_delete = true;
  for (const char* of : {"job.#", "response.#"}) {
    events.queue.bindings.push_back({"", std::string(kEventsExchange), of});
  }
  events.prefetch = kPrefetch;
  config.subscriptions.push_back(std::move(events));
  for (const BoundQueue& queue : Topology::builtin().queues()) {
    if (queue.queue.name != kReturnedQueue) continue;
    Subscription returned;
    returned.queue = queue;
    returned.prefetch = kPrefetch;
    config.subscriptions.push_back(std::move(returned));
  }
  return config;
}

}  // namespace

class FinalEvents::Impl {
 public:
  Impl(RabbitmqConfig config, std::function<void(const JobId&)> on_final, std::function<void()> on_gap,
       Clock& clock, Rng& rng, Log log, LoopMetrics metrics)
      : on_final_(std::move(on_final)),
        on_gap_(std::move(on_gap)),
        log_(std::move(log)),
        metrics_(std::move(metrics)),
        consumer_(
            std::move(config), subscriptions(), [this](Delivery&& delivery) { take(delivery); }, clock, rng,
            log_, [this](const std::string&) { on_gap_(); }) {}

  Consumer& consumer() { return consumer_; }

 private:
  void take(const Delivery& delivery) {
    if (delivery.queue == kReturnedQueue) {
      metrics_.returned_drained.add();
      log_.warn("task_returned", {{"job_id", delivery.message_id}});
    } else if (const auto event = event_ref_from_json(delivery.body)) {
      on_final_(event->job_id);
    } else {
      log_.warn_limited("event_unreadable", {{"error", event.error().message}});
    }
    consumer_.ack(delivery.tag);
  }

  const std::function<void(const JobId&)> on_final_;
  const std::function<void()> on_gap_;
  const Log log_;
  const LoopMetrics metrics_;
  Consumer consumer_;
};

FinalEvents::FinalEvents(RabbitmqConfig config, std::function<void(const JobId&)> on_final,
                         std::function<void()> on_gap, Clock& clock, Rng& rng, Log log, LoopMetrics metrics)
    : impl_(std::make_unique<Impl>(std::move(config), std::move(on_final), std::move(on_gap), clock, rng,
                                   std::move(log), std::move(metrics))) {}

FinalEvents::~FinalEvents() = default;

void FinalEvents::start() {
  impl_->consumer().start();
}

void FinalEvents::stop() {
  impl_->consumer().stop();
}

bool FinalEvents::connected() const {
  return impl_->consumer().connected();
}

}  // namespace sluice::producer
