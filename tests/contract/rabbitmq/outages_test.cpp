#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/contract/rabbitmq/fixture.h"

namespace sluice::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Puts the broker into its memory alarm for as long as this lives.
class MemoryAlarm {
 public:
  MemoryAlarm() { EXPECT_TRUE(stack("rabbitmqctl set_vm_memory_high_watermark 0.0000001")); }
  ~MemoryAlarm() { EXPECT_TRUE(stack("rabbitmqctl set_vm_memory_high_watermark absolute 1GB")); }
};

TEST_F(RabbitmqContract, InAMemoryAlarmPublishesEndByTheirDeadlineAndAcksStillWork) {
  SLUICE_REQUIRE_OWN_STACK();
  const BoundQueue queue = make_queue();
  const auto publisher = make_publisher();
  ASSERT_TRUE(publisher->publish(message(queue, "before"), soon()));
  Inbox inbox;
  const auto consumer = make_consumer(queue, inbox);
  ASSERT_TRUE(inbox.wait_for(1));
  {
    const MemoryAlarm alarm;
    // The first goes into the dark, and the broker then says that it is blocking us.
    std::vector<Status> statuses;
    const double took = seconds_of([&] {
      // Far more than the socket's buffers hold.
      statuses = publisher->publish_all(std::vector<Message>(100, message(queue, std::string(200'000, 'x'))),
                                        parts().in(milliseconds(1500)));
    });
    EXPECT_LT(took, 2.5);
    for (const Status& status : statuses) EXPECT_FALSE(status);
    const double again = seconds_of([&] {
      const Status status = publisher->publish(message(queue, "y"), parts().in(milliseconds(1000)));
      EXPECT_FALSE(status);
    });
    EXPECT_LT(again, 2.0);
    // On the consumer's own connection nothing is stuck.
    consumer->ack(inbox.all()[0].tag);
    EXPECT_TRUE(eventually([&] { return consumer->stats().acked == 1; }, milliseconds(3000)));
    EXPECT_LT(seconds_of([&] { consumer->stop(); }), 2.5);
  }
  EXPECT_TRUE(publisher->wait_ready(soon()));
  EXPECT_TRUE(eventually([&] { return publisher->publish(message(queue, "after"), soon()).has_value(); }));
  Inbox rest;
  const auto next = make_consumer(queue, rest);
  ASSERT_TRUE(eventually([&] {
    const auto all = rest.all();
    return !all.empty() && all.back().body == "after";
  }));
  for (const Delivery& delivery : rest.all()) EXPECT_NE(delivery.body, "before");  // Its ack had counted.
}

TEST_F(RabbitmqContract, ABlockedPublisherIsToldAtOnce) {
  SLUICE_REQUIRE_OWN_STACK();
  const BoundQueue queue = make_queue();
  const auto publisher = make_publisher();
  {
    const MemoryAlarm alarm;
    Status first;
    std::thread sending([&] { first = publisher->publish(message(queue, "x"), parts().in(seconds(8))); });
    EXPECT_TRUE(eventually([&] { return publisher->stats().blocked; }, milliseconds(4000)));
    EXPECT_FALSE(publisher->ready());
    const double took = seconds_of([&] {
      EXPECT_EQ(publisher->publish(message(queue, "y"), soon()).error().code, ErrorCode::kUnavailable);
    });
    EXPECT_LT(took, 0.3);
    EXPECT_TRUE(stack("rabbitmqctl set_vm_memory_high_watermark absolute 1GB"));
    sending.join();
    EXPECT_TRUE(first) << first.error().message;  // The alarm ended before its deadline.
  }
  EXPECT_TRUE(publisher->wait_ready(soon()));
  EXPECT_EQ(publisher->stats().connects, 1u);
}

TEST_F(RabbitmqContract, AKilledBrokerIsFoundAgainByEveryone) {
  SLUICE_REQUIRE_OWN_STACK();
  const BoundQueue queue = make_queue();
  const auto publisher = make_publisher();
  ASSERT_TRUE(publisher->publish(message(queue, "kept"), soon()));
  Inbox inbox;
  const auto consumer = make_consumer(queue, inbox);
  ASSERT_TRUE(inbox.wait_for(1));
  const DeliveryTag old_tag = inbox.all()[0].tag;
  // RabbitMQ 3.10 writes the name of a new quorum queue to disk a little late: killed before that, it comes
  // back with a queue that never elects a leader.
  const SteadyTime settled = parts().clock.steady_now() + seconds(3);
  ASSERT_TRUE(eventually([&] { return parts().clock.steady_now() >= settled; }));
  const int broker = stack_pid("rabbitmq");
  ASSERT_GT(broker, 0);
  ASSERT_EQ(kill(broker, SIGKILL), 0);
  ASSERT_TRUE(eventually([&] { return !publisher->ready() && !consumer->connected(); }));
  EXPECT_EQ(publisher->publish(message(queue, "down"), soon()).error().code, ErrorCode::kUnavailable);
  ASSERT_TRUE(publisher->wait_ready(parts().in(seconds(60))));
  ASSERT_TRUE(consumer->wait_connected(parts().in(seconds(60))));
  // Persistent, and unacked: it comes again. The old tag does nothing to the new delivery.
  ASSERT_TRUE(inbox.wait_for(2));
  EXPECT_EQ(inbox.all()[1].body, "kept");
  consumer->ack(old_tag);
  ASSERT_TRUE(eventually([&] { return consumer->stats().stale_acks == 1; }));
  EXPECT_EQ(consumer->stats().acked, 0u);
  consumer->ack(inbox.all()[1].tag);
  ASSERT_TRUE(eventually([&] { return consumer->stats().acked == 1; }));
  EXPECT_TRUE(eventually([&] { return publisher->publish(message(queue, "new"), soon()).has_value(); }));
  ASSERT_TRUE(inbox.wait_for(3));
  EXPECT_EQ(inbox.all()[2].body, "new");
  EXPECT_TRUE(control_->depth(queue.queue.name, soon()));  // Its connection had died too.
}

TEST_F(RabbitmqContract, AWipedBrokerGetsItsTopologyBack) {
  SLUICE_REQUIRE_OWN_STACK();
  const BoundQueue queue = make_queue();
  const auto publisher = make_publisher();
  Inbox inbox;
  const auto consumer = make_consumer(queue, inbox);
  ASSERT_TRUE(stack("wipe rabbitmq"));
  ASSERT_TRUE(consumer->wait_connected(parts().in(seconds(60))));
  ASSERT_TRUE(publisher->wait_ready(parts().in(seconds(60))));
  const Status verified = control_->verify(Topology::builtin(), soon());
  EXPECT_TRUE(verified) << verified.error().message;
  ASSERT_TRUE(eventually([&] { return publisher->publish(message(queue, "x"), soon()).has_value(); }));
  EXPECT_TRUE(inbox.wait_for(1));
}

TEST_F(RabbitmqContract, AHungBrokerHoldsNobodyPastTheDeadline) {
  SLUICE_REQUIRE_OWN_STACK();
  const BoundQueue queue = make_queue();
  const auto publisher = make_publisher();
  const int broker = stack_pid("rabbitmq");
  ASSERT_GT(broker, 0);
  kill(broker, SIGSTOP);
  std::vector<Status> statuses;
  const double took = seconds_of([&] {
    statuses = publisher->publish_all(std::vector<Message>(200, message(queue, std::string(100'000, 'x'))),
                                      parts().in(milliseconds(800)));
  });
  std::size_t unknown = 0;
  for (const Status& status : statuses) {
    ASSERT_FALSE(status);
    unknown += status.error().code == ErrorCode::kOutcomeUnknown ? 1 : 0;
  }
  EXPECT_GE(unknown, 1u);
  EXPECT_LT(took, 1.6);
  kill(broker, SIGCONT);
  EXPECT_TRUE(publisher->wait_ready(parts().in(seconds(30))));
}

TEST_F(RabbitmqContract, AQueueWithoutALeaderHoldsUpNoOther) {
  SLUICE_REQUIRE_OWN_STACK();
  const BoundQueue good = make_queue("good"), stuck = make_queue("stuck");
  const auto publisher = make_publisher();
  ASSERT_TRUE(publisher->publish(message(stuck, "later"), soon()));
  const std::string leader =
      "(whereis(list_to_atom(\"" + rabbitmq_config().vhost + "_" + stuck.queue.name + "\"))).";
  ASSERT_TRUE(stack("rabbitmqctl eval 'sys:suspend" + leader + "'"));
  RabbitmqConfig config = rabbitmq_config();
  config.rpc_timeout = milliseconds(1000);
  ConsumerConfig subscriptions;
  subscriptions.subscriptions = {{stuck, 10, false}, {good, 10, false}};
  Inbox inbox;
  Consumer consumer(
      config, subscriptions, [&](Delivery&& delivery) { inbox.take(std::move(delivery)); }, parts().clock,
      parts().rng, parts().log);
  consumer.start();
  // Long enough for several attempts at the stuck one.
  const SteadyTime until = parts().clock.steady_now() + seconds(5);
  std::size_t sent = 0;
  while (parts().clock.steady_now() < until) {
    ASSERT_TRUE(publisher->publish(message(good, "now"), soon()));
    ASSERT_TRUE(inbox.wait_for(++sent));
    consumer.ack(inbox.tag_of(sent - 1));
  }
  EXPECT_FALSE(consumer.connected());
  EXPECT_EQ(consumer.stats().connects, 1u);
  for (const Delivery& delivery : inbox.all()) EXPECT_FALSE(delivery.redelivered);
  ASSERT_TRUE(stack("rabbitmqctl eval 'sys:resume" + leader + "'"));
  ASSERT_TRUE(consumer.wait_connected(parts().in(seconds(30))));
  ASSERT_TRUE(inbox.wait_for(sent + 1));
  EXPECT_EQ(inbox.all().back().body, "later");
}

TEST_F(RabbitmqContract, AQueueThatConfirmsNothingCostsNoOtherItsConfirm) {
  SLUICE_REQUIRE_OWN_STACK();
  const BoundQueue good = make_queue("good"), stuck = make_queue("stuck");
  const auto publisher = make_publisher();
  // The first message to a queue makes the broker register us with its leader, for which it stops the
  // channel.
  ASSERT_TRUE(publisher->publish(message(stuck, "w"), soon()));
  const std::string leader =
      "(whereis(list_to_atom(\"" + rabbitmq_config().vhost + "_" + stuck.queue.name + "\"))).";
  ASSERT_TRUE(stack("rabbitmqctl eval 'sys:suspend" + leader + "'"));
  std::atomic<int> unknown{0};
  for (int i = 0; i < 3; ++i) {
    publisher->publish_async(message(stuck, "x"), parts().in(milliseconds(500)), [&](Status status) {
      if (!status && status.error().code == ErrorCode::kOutcomeUnknown) ++unknown;
    });
  }
  std::size_t sent = 0;
  while (unknown < 3) {
    const Status status = publisher->publish(message(good, "y"), soon());
    ASSERT_TRUE(status) << status.error().message;
    ASSERT_LT(++sent, 100'000u);
  }
  EXPECT_EQ(publisher->stats().connects, 1u);
  EXPECT_TRUE(stack("rabbitmqctl eval 'sys:resume" + leader + "'"));
  EXPECT_TRUE(publisher->publish(message(stuck, "z"), soon()));
}

TEST_F(RabbitmqContract, AnIdleConnectionLives) {
  const BoundQueue queue = make_queue();
  RabbitmqConfig config = rabbitmq_config();
  config.heartbeat = seconds(1);
  Inbox inbox;
  ConsumerConfig subscriptions;
  subscriptions.subscriptions.push_back({queue, 10, false});
  Consumer consumer(
      config, subscriptions, [&](Delivery&& delivery) { inbox.take(std::move(delivery)); }, parts().clock,
      parts().rng, parts().log);
  Publisher publisher(config, {}, parts().clock, parts().rng, parts().log);
  consumer.start();
  publisher.start();
  ASSERT_TRUE(consumer.wait_connected(soon()));
  ASSERT_TRUE(publisher.wait_ready(soon()));
  // Three times the span after which the broker gives up a silent peer: time itself is what is tested.
  const SteadyTime until = parts().clock.steady_now() + seconds(6);
  ASSERT_TRUE(eventually([&] { return parts().clock.steady_now() >= until; }, seconds(10)));
  EXPECT_EQ(consumer.stats().connects, 1u);
  EXPECT_EQ(publisher.stats().connects, 1u);
  ASSERT_TRUE(publisher.publish(message(queue, "x"), soon()));
  EXPECT_TRUE(inbox.wait_for(1));
}

}  // namespace
}  // namespace sluice::testing
