#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/contract/rabbitmq/fixture.h"

namespace sluice::testing {
namespace {

TEST_F(RabbitmqContract, PrefetchBoundsWhatIsUnacked) {
  const BoundQueue queue = make_queue();
  const auto publisher = make_publisher();
  for (const Status& status : publisher->publish_all(std::vector<Message>(50, message(queue, "x")), soon())) {
    ASSERT_TRUE(status);
  }
  Inbox inbox;
  const auto consumer = make_consumer(queue, inbox, 7);
  ASSERT_TRUE(inbox.wait_for(7));
  EXPECT_TRUE(eventually([&] { return depth(queue) == 43; }));
  EXPECT_EQ(inbox.size(), 7u);
  // Acked in an order of its own, others follow.
  std::vector<DeliveryTag> tags;
  for (const Delivery& delivery : inbox.all()) tags.push_back(delivery.tag);
  consumer->ack(tags[6]);
  ASSERT_TRUE(inbox.wait_for(8));
  tags.pop_back();
  consumer->ack(tags);
  ASSERT_TRUE(inbox.wait_for(14));
  EXPECT_TRUE(eventually([&] { return depth(queue) == 36; }));
  EXPECT_EQ(consumer->stats().acked, 7u);
}

TEST_F(RabbitmqContract, EverythingIsAckedOnceFromManyThreads) {
  const BoundQueue queue = make_queue();
  const auto publisher = make_publisher();
  constexpr std::size_t kMessages = 3000;
  for (const Status& status :
       publisher->publish_all(std::vector<Message>(kMessages, message(queue, "x")), soon())) {
    ASSERT_TRUE(status);
  }
  Inbox inbox;
  {
    const auto consumer = make_consumer(queue, inbox, 200);
    std::atomic<std::size_t> next{0};
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (std::size_t mine = next++; mine < kMessages; mine = next++) {
          ASSERT_TRUE(inbox.wait_for(mine + 1));
          consumer->ack(inbox.tag_of(mine));
        }
      });
    }
    for (auto& thread : threads) thread.join();
    consumer->stop();  // Sends what is still to be acked.
    EXPECT_EQ(consumer->stats().acked, kMessages);
    EXPECT_EQ(consumer->stats().stale_acks, 0u);
  }
  EXPECT_EQ(inbox.size(), kMessages);
  // A broker in a hurry forgets the last acks of a connection that ends: it may deliver as many again as were
  // unacked at once, and says so. They come before what is published now.
  ASSERT_TRUE(publisher->publish(message(queue, "end"), soon()));
  Inbox again;
  const auto consumer = make_consumer(queue, again, 400);
  const auto ended = [&] {
    const std::vector<Delivery> all = again.all();
    return !all.empty() && all.back().body == "end";
  };
  ASSERT_TRUE(eventually(ended));
  EXPECT_LE(again.size(), 200u + 1);
  for (const Delivery& delivery : again.all()) EXPECT_TRUE(delivery.redelivered || delivery.body == "end");
}

TEST_F(RabbitmqContract, AnAckGivenRightBeforeTheEndIsSent) {
  const BoundQueue queue = make_queue();
  const auto publisher = make_publisher();
  ASSERT_TRUE(publisher->publish(message(queue, "x"), soon()));
  Inbox inbox;
  {
    const auto consumer = make_consumer(queue, inbox);
    ASSERT_TRUE(inbox.wait_for(1));
    consumer->ack(inbox.tag_of(0));
    consumer->stop();
  }
  ASSERT_TRUE(publisher->publish(message(queue, "end"), soon()));
  Inbox next;
  const auto consumer = make_consumer(queue, next);
  ASSERT_TRUE(next.wait_for(1));
  EXPECT_EQ(next.all()[0].body, "end");
}

TEST_F(RabbitmqContract, ARequeuedDeliveryComesBackAndARejectedOneGoesToReturned) {
  const BoundQueue queue = make_queue();
  const auto publisher = make_publisher();
  ASSERT_TRUE(control_->purge(kReturnedQueue, soon()));
  ASSERT_TRUE(publisher->publish(message(queue, "again"), soon()));
  Inbox inbox;
  const auto consumer = make_consumer(queue, inbox);
  ASSERT_TRUE(inbox.wait_for(1));
  EXPECT_EQ(inbox.all()[0].delivery_count, 0);
  consumer->reject(inbox.all()[0].tag, true);
  ASSERT_TRUE(inbox.wait_for(2));
  EXPECT_TRUE(inbox.all()[1].redelivered);
  EXPECT_EQ(inbox.all()[1].delivery_count, 1);
  consumer->reject(inbox.all()[1].tag, false);
  EXPECT_TRUE(eventually([&] { return control_->depth(kReturnedQueue, soon())->ready == 1; }));
  EXPECT_TRUE(control_->purge(kReturnedQueue, soon()));
}

TEST_F(RabbitmqContract, WhatWasUnackedIsDeliveredAgainToTheNextOne) {
  const BoundQueue queue = make_queue();
  const auto publisher = make_publisher();
  ASSERT_TRUE(publisher->publish(message(queue, "a"), soon()));
  ASSERT_TRUE(publisher->publish(message(queue, "b"), soon()));
  Inbox first, second;
  {
    const auto consumer = make_consumer(queue, first);
    ASSERT_TRUE(first.wait_for(2));
    consumer->ack(first.all()[0].tag);
    consumer->stop();
  }
  const auto consumer = make_consumer(queue, second);
  ASSERT_TRUE(second.wait_for(1));
  EXPECT_EQ(second.all()[0].body, "b");
  EXPECT_TRUE(second.all()[0].redelivered);
}

TEST_F(RabbitmqContract, ADeletedQueueIsDeclaredAndSubscribedAnew) {
  const BoundQueue queue = make_queue();
  const auto publisher = make_publisher();
  Inbox inbox;
  const auto consumer = make_consumer(queue, inbox);
  ASSERT_TRUE(control_->remove(queue.queue.name, soon()));
  ASSERT_TRUE(eventually([&] { return consumer->stats().cancelled == 1 && consumer->connected(); }));
  ASSERT_TRUE(publisher->publish(message(queue, "after"), soon()));
  ASSERT_TRUE(inbox.wait_for(1));
  EXPECT_EQ(inbox.all()[0].body, "after");
  EXPECT_EQ(consumer->stats().connects, 1u);
}

TEST_F(RabbitmqContract, AQueueOfOnesOwnSeesEventsAndVanishes) {
  ConsumerConfig config;
  Subscription own;
  own.queue.queue.durable = false;
  own.queue.queue.exclusive = true;
  own.queue.queue.auto_delete = true;
  own.queue.bindings = {{"", std::string(kEventsExchange), "job.contract.#"}};
  config.subscriptions.push_back(own);
  Inbox inbox;
  Mutex mutex;
  std::vector<std::string> subscribed;
  auto consumer = std::make_unique<Consumer>(
      rabbitmq_config(), config, [&](Delivery&& delivery) { inbox.take(std::move(delivery)); }, parts().clock,
      parts().rng, parts().log,
      [&](const std::string& queue) {
        MutexLock lock(mutex);
        subscribed.push_back(queue);
      });
  consumer->start();
  ASSERT_TRUE(consumer->wait_connected(soon()));
  const auto publisher = make_publisher();
  Message event;
  event.exchange = kEventsExchange;
  event.routing_key = "job.contract.done";
  ASSERT_TRUE(publisher->publish(event, soon()));
  ASSERT_TRUE(inbox.wait_for(1));
  std::string queue;
  {
    MutexLock lock(mutex);
    ASSERT_EQ(subscribed.size(), 1u);
    queue = subscribed[0];
  }
  EXPECT_FALSE(queue.empty());
  EXPECT_EQ(inbox.all()[0].queue, queue);
  consumer->stop();
  EXPECT_TRUE(eventually([&] { return !control_->depth(queue, soon()); }));
  EXPECT_TRUE(control_->purge(kCallbackQueue, soon()));
}

TEST_F(RabbitmqContract, APausedQueueRestsAndOthersGoOn) {
  const BoundQueue quiet = make_queue("quiet"), busy = make_queue("busy");
  const auto publisher = make_publisher();
  Inbox inbox;
  ConsumerConfig config;
  config.subscriptions = {{quiet, 10, false}, {busy, 10, false}};
  Consumer consumer(
      rabbitmq_config(), config, [&](Delivery&& delivery) { inbox.take(std::move(delivery)); }, parts().clock,
      parts().rng, parts().log);
  consumer.start();
  ASSERT_TRUE(consumer.wait_connected(soon()));
  ASSERT_TRUE(publisher->publish(message(quiet, "held"), soon()));
  ASSERT_TRUE(inbox.wait_for(1));
  consumer.set_prefetch(quiet.queue.name, 0);
  // Done in the order asked for: once this tag was looked at, the pause holds. (The broker itself still
  // counts a consumer that has something unacked.)
  consumer.ack(DeliveryTag{});
  ASSERT_TRUE(eventually([&] { return consumer.stats().stale_acks == 1; }));
  ASSERT_TRUE(publisher->publish(message(quiet, "waits"), soon()));
  ASSERT_TRUE(publisher->publish(message(busy, "passes"), soon()));
  ASSERT_TRUE(inbox.wait_for(2));
  EXPECT_EQ(inbox.all()[1].body, "passes");
  // What was under way when the queue was paused can still be acked.
  consumer.ack(inbox.all()[0].tag);
  ASSERT_TRUE(eventually([&] { return consumer.stats().acked == 1; }));
  consumer.set_prefetch(quiet.queue.name, 5);
  ASSERT_TRUE(inbox.wait_for(3));
  EXPECT_EQ(inbox.all()[2].body, "waits");
  EXPECT_FALSE(inbox.all()[2].redelivered);
}

TEST_F(RabbitmqContract, AQueueIsAddedWhileRunning) {
  const BoundQueue first = make_queue("first"), later = make_queue("later");
  const auto publisher = make_publisher();
  Inbox inbox;
  const auto consumer = make_consumer(first, inbox);
  consumer->subscribe({later, 10, false});
  consumer->subscribe({later, 10, false});
  ASSERT_TRUE(publisher->publish(message(later, "x"), soon()));
  ASSERT_TRUE(inbox.wait_for(1));
  EXPECT_EQ(inbox.all()[0].queue, later.queue.name);
  EXPECT_EQ(control_->depth(later.queue.name, soon())->consumers, 1u);
}

TEST_F(RabbitmqContract, AQueueWithOtherArgumentsHoldsUpNoOther) {
  const BoundQueue good = make_queue("good");
  BoundQueue changed = make_queue("changed");
  changed.queue.arguments["x-delivery-limit"] = std::int64_t(7);
  const auto publisher = make_publisher();
  Inbox inbox;
  ConsumerConfig config;
  config.subscriptions = {{changed, 10, false}, {good, 10, false}};
  Consumer consumer(
      rabbitmq_config(), config, [&](Delivery&& delivery) { inbox.take(std::move(delivery)); }, parts().clock,
      parts().rng, parts().log);
  consumer.start();
  ASSERT_TRUE(publisher->publish(message(good, "x"), soon()));
  ASSERT_TRUE(inbox.wait_for(1));
  EXPECT_FALSE(consumer.connected());
}

TEST_F(RabbitmqContract, StoppingIsQuickAndMayComeAtAnyTime) {
  const BoundQueue queue = make_queue();
  Inbox inbox;
  ConsumerConfig config;
  config.subscriptions.push_back({queue, 10, false});
  const auto on_delivery = [&](Delivery&& delivery) { inbox.take(std::move(delivery)); };
  Consumer never(rabbitmq_config(), config, on_delivery, parts().clock, parts().rng, parts().log);
  never.stop();
  never.start();  // After stop: nothing.
  const auto consumer = make_consumer(queue, inbox);
  EXPECT_LT(seconds_of([&] { consumer->stop(); }), 2.5);
  consumer->stop();
  consumer->ack(DeliveryTag{1, 2, 3});
}

}  // namespace
}  // namespace sluice::testing
