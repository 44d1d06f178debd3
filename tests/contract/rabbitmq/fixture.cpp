#include "tests/contract/rabbitmq/fixture.h"

#include "tests/support/broker_queue.h"

namespace sluice::testing {

RabbitmqConfig rabbitmq_config() {
  RabbitmqConfig config;
  config.host = env_or("SLUICE_RABBITMQ_HOST", "127.0.0.1");
  config.port = std::stoi(env_or("SLUICE_RABBITMQ_PORT", "5672"));
  config.user = env_or("SLUICE_RABBITMQ_USER", "guest");
  config.password = Secret(env_or("SLUICE_RABBITMQ_PASSWORD", "guest"));
  config.vhost = env_or("SLUICE_RABBITMQ_VHOST", "/");
  return config;
}

void Inbox::take(Delivery&& delivery) {
  MutexLock lock(mutex_);
  deliveries_.push_back(std::move(delivery));
}

bool Inbox::wait_for(std::size_t count, std::chrono::milliseconds longest) {
  return eventually([&] { return size() >= count; }, longest);
}

std::vector<Delivery> Inbox::all() const {
  MutexLock lock(mutex_);
  return deliveries_;
}

DeliveryTag Inbox::tag_of(std::size_t index) const {
  MutexLock lock(mutex_);
  return deliveries_.at(index).tag;
}

std::size_t Inbox::size() const {
  MutexLock lock(mutex_);
  return deliveries_.size();
}

void RabbitmqContract::SetUp() {
  SLUICE_REQUIRE_SERVER("SLUICE_RABBITMQ_HOST");
  control_ = std::make_unique<BrokerControl>(rabbitmq_config(), parts().clock);
  const Status declared = control_->declare(Topology::builtin(), soon());
  ASSERT_TRUE(declared) << declared.error().message;
}

std::string RabbitmqContract::name_of(const std::string& suffix) const {
  return std::string("contract.") + ::testing::UnitTest::GetInstance()->current_test_info()->name() + "." +
         suffix;
}

BoundQueue RabbitmqContract::make_queue(const std::string& suffix) {
  BoundQueue queue = Topology::builtin().task_queue("contract", Priority::kNormal);
  queue.queue.name = name_of(suffix);
  queue.bindings = {{queue.queue.name, std::string(kTasksExchange), queue.queue.name}};
  const Status declared = control_->declare(queue, soon());
  EXPECT_TRUE(declared) << declared.error().message;
  empty_queue(*control_, queue.queue.name);
  return queue;
}

Message RabbitmqContract::message(const BoundQueue& queue, std::string body) const {
  Message message;
  message.exchange = kTasksExchange;
  message.routing_key = queue.queue.name;
  message.body = std::move(body);
  return message;
}

std::unique_ptr<Publisher> RabbitmqContract::make_publisher(PublisherConfig limits) {
  auto publisher =
      std::make_unique<Publisher>(rabbitmq_config(), limits, parts().clock, parts().rng, parts().log);
  publisher->start();
  EXPECT_TRUE(publisher->wait_ready(soon()));
  return publisher;
}

std::unique_ptr<Consumer> RabbitmqContract::make_consumer(const BoundQueue& queue, Inbox& inbox,
                                                          int prefetch) {
  ConsumerConfig config;
  config.subscriptions.push_back({queue, prefetch, false});
  auto consumer = std::make_unique<Consumer>(
      rabbitmq_config(), config, [&inbox](Delivery&& delivery) { inbox.take(std::move(delivery)); },
      parts().clock, parts().rng, parts().log);
  consumer->start();
  EXPECT_TRUE(consumer->wait_connected(soon()));
  return consumer;
}

std::uint64_t RabbitmqContract::depth(const BoundQueue& queue) {
  const auto depth = control_->depth(queue.queue.name, soon());
  EXPECT_TRUE(depth) << depth.error().message;
  return depth ? depth->ready : 0;
}

}  // namespace sluice::testing
