// Queues of a test's own on the real broker.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/rabbitmq/broker_control.h"
#include "common/rabbitmq/consumer.h"
#include "common/rabbitmq/publisher.h"
#include "tests/contract/support/servers.h"

namespace sluice::testing {

RabbitmqConfig rabbitmq_config();  // From SLUICE_RABBITMQ_….

// Deliveries as they came, for a test to look at.
class Inbox {
 public:
  void take(Delivery&& delivery);
  bool wait_for(std::size_t count, std::chrono::milliseconds longest = std::chrono::seconds(10));
  std::vector<Delivery> all() const;
  DeliveryTag tag_of(std::size_t index) const;
  std::size_t size() const;

 private:
  mutable Mutex mutex_;
  std::vector<Delivery> deliveries_ GUARDED_BY(mutex_);
};

class RabbitmqContract : public ::testing::Test {
 protected:
  void SetUp() override;
  Deadline soon() { return parts().in(std::chrono::seconds(10)); }

  // A quorum queue of this test, bound to sluice.tasks by its own name; empty.
  BoundQueue make_queue(const std::string& suffix = "q");
  std::string name_of(const std::string& suffix) const;
  Message message(const BoundQueue& queue, std::string body) const;
  std::unique_ptr<Publisher> make_publisher(PublisherConfig limits = {});
  std::unique_ptr<Consumer> make_consumer(const BoundQueue& queue, Inbox& inbox, int prefetch = 100);
  std::uint64_t depth(const BoundQueue& queue);

  std::unique_ptr<BrokerControl> control_;
};

}  // namespace sluice::testing
