#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/contract/rabbitmq/fixture.h"

namespace sluice::testing {
namespace {

using namespace std::string_literals;

TEST_F(RabbitmqContract, AMessageArrivesAsItWas) {
  const BoundQueue queue = make_queue();
  const auto publisher = make_publisher();
  Message sent = message(queue, "\0\xff🦊"s + std::string(300'000, 'b'));  // Over several frames.
  sent.message_id = "job_1";
  sent.type = "task";
  sent.headers = {{"traceparent", "00-ab-cd-01"s}, {"generation", std::int64_t(3)}, {"canary", true}};
  const Status status = publisher->publish(sent, soon());
  ASSERT_TRUE(status) << status.error().message;
  Inbox inbox;
  const auto consumer = make_consumer(queue, inbox);
  ASSERT_TRUE(inbox.wait_for(1));
  const Delivery got = inbox.all()[0];
  EXPECT_EQ(got.body, sent.body);
  EXPECT_EQ(got.message_id, "job_1");
  EXPECT_EQ(got.type, "task");
  EXPECT_EQ(got.content_type, "application/json");
  EXPECT_EQ(got.exchange, kTasksExchange);
  EXPECT_EQ(got.queue, queue.queue.name);
  EXPECT_FALSE(got.redelivered);
  EXPECT_EQ(std::get<std::string>(got.headers.at("traceparent")), "00-ab-cd-01");
  EXPECT_EQ(std::get<std::int64_t>(got.headers.at("generation")), 3);
  EXPECT_EQ(std::get<bool>(got.headers.at("canary")), true);
}

TEST_F(RabbitmqContract, UnroutableMessagesAreNotFoundAndTheirNeighboursArrive) {
  const BoundQueue queue = make_queue();
  const auto publisher = make_publisher();
  std::vector<Message> messages;
  for (int i = 0; i < 300; ++i) {
    messages.push_back(message(queue, std::to_string(i)));
    if (i % 3 == 1) messages.back().routing_key = "contract.nowhere";
  }
  const auto statuses = publisher->publish_all(std::move(messages), soon());
  for (int i = 0; i < 300; ++i) {
    const Status& status = statuses[static_cast<std::size_t>(i)];
    if (i % 3 == 1) {
      ASSERT_FALSE(status) << i;
      EXPECT_EQ(status.error().code, ErrorCode::kNotFound) << i;
    } else {
      EXPECT_TRUE(status) << i << ": " << status.error().message;
    }
  }
  EXPECT_TRUE(eventually([&] { return depth(queue) == 200; }));
  EXPECT_EQ(publisher->stats().returned, 100u);
}

TEST_F(RabbitmqContract, ThousandsOfConfirmsArePipelined) {
  const BoundQueue queue = make_queue();
  PublisherConfig limits;
  limits.window_messages_max = 500;  // Smaller than the batch: the window moves on.
  const auto publisher = make_publisher(limits);
  std::vector<Message> messages;
  messages.reserve(5000);
  for (int i = 0; i < 5000; ++i) messages.push_back(message(queue, "task " + std::to_string(i)));
  std::size_t confirmed = 0;
  const double took = seconds_of([&] {
    for (const Status& status : publisher->publish_all(std::move(messages), soon()))
      confirmed += status ? 1 : 0;
  });
  EXPECT_EQ(confirmed, 5000u);
  EXPECT_LT(took, 8.0);
  EXPECT_TRUE(eventually([&] { return depth(queue) == 5000; }));
  EXPECT_EQ(publisher->stats().confirmed, 5000u);
  EXPECT_EQ(publisher->stats().in_flight, 0u);
  RecordProperty("messages_per_second", static_cast<int>(5000 / took));
}

TEST_F(RabbitmqContract, ManyThreadsShareOnePublisher) {
  const BoundQueue queue = make_queue();
  const auto publisher = make_publisher();
  std::atomic<int> confirmed{0};
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) {
        std::vector<Message> messages(20, message(queue, "x"));
        for (const Status& status : publisher->publish_all(std::move(messages), soon()))
          confirmed += status ? 1 : 0;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(confirmed, 1600);
}

TEST_F(RabbitmqContract, TooMuchIsRefusedAtOnce) {
  const BoundQueue queue = make_queue();
  PublisherConfig limits;
  limits.waiting_messages_max = 10;
  const auto publisher = make_publisher(limits);
  std::vector<Message> messages(5000, message(queue, "x"));
  const auto statuses = publisher->publish_all(std::move(messages), soon());
  std::size_t confirmed = 0, refused = 0;
  for (const Status& status : statuses) {
    if (status) {
      ++confirmed;
    } else {
      EXPECT_EQ(status.error().code, ErrorCode::kExhausted) << status.error().message;
      ++refused;
    }
  }
  EXPECT_GE(confirmed, 10u);
  EXPECT_GT(refused, 0u);
}

TEST_F(RabbitmqContract, AFullQueueRefusesWithoutLosingAnything) {
  BoundQueue queue = make_queue("full");
  ASSERT_TRUE(control_->remove(queue.queue.name, soon()));
  queue.queue.arguments["x-max-length"] = std::int64_t(10);
  ASSERT_TRUE(control_->declare(queue, soon()));
  const auto publisher = make_publisher();
  std::size_t refused = 0, confirmed = 0;
  for (int round = 0; round < 20; ++round) {
    std::vector<Message> messages(10, message(queue, "x"));
    for (const Status& status : publisher->publish_all(std::move(messages), soon())) {
      if (status) {
        ++confirmed;
      } else {
        EXPECT_EQ(status.error().code, ErrorCode::kExhausted) << status.error().message;
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 0u);
  EXPECT_TRUE(eventually([&] { return depth(queue) == confirmed; }));
}

TEST_F(RabbitmqContract, NamesThatAmqpCantCarryAreInvalid) {
  const BoundQueue queue = make_queue();
  const auto publisher = make_publisher();
  Message bad = message(queue, "x");
  bad.message_id = std::string(256, 'm');
  EXPECT_EQ(publisher->publish(bad, soon()).error().code, ErrorCode::kInvalid);
  EXPECT_TRUE(publisher->publish(message(queue, "y"), soon()));
}

TEST_F(RabbitmqContract, AMissingExchangeIsDeclaredAnewAndNothingHangs) {
  const BoundQueue queue = make_queue();
  const auto publisher = make_publisher();
  Message lost = message(queue, "x");
  lost.exchange = "contract.no.such.exchange";
  const Status status = publisher->publish(lost, soon());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kOutcomeUnknown) << status.error().message;
  EXPECT_NE(status.error().message.find("no exchange"), std::string::npos) << status.error().message;
  ASSERT_TRUE(publisher->wait_ready(soon()));
  EXPECT_TRUE(publisher->publish(message(queue, "y"), soon()));
}

TEST_F(RabbitmqContract, AsyncPublishesEndExactlyOnceAlsoWhenStopped) {
  const BoundQueue queue = make_queue();
  auto publisher = make_publisher();
  std::atomic<int> ended{0};
  for (int i = 0; i < 3000; ++i) {
    publisher->publish_async(message(queue, "x"), soon(), [&](Status) { ++ended; });
  }
  publisher->stop();
  EXPECT_EQ(ended, 3000);
  publisher->stop();
  publisher->publish_async(message(queue, "x"), soon(), [&](Status status) {
    EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
    ++ended;
  });
  EXPECT_EQ(ended, 3001);
}

TEST_F(RabbitmqContract, WithoutABrokerPublishingFailsAtOnce) {
  RabbitmqConfig config = rabbitmq_config();
  config.port = 1;
  Publisher publisher(config, {}, parts().clock, parts().rng, parts().log);
  Message lonely;
  lonely.exchange = kTasksExchange;
  EXPECT_EQ(publisher.publish(lonely, soon()).error().code, ErrorCode::kUnavailable);  // Not even started.
  publisher.start();
  const double took =
      seconds_of([&] { EXPECT_EQ(publisher.publish(lonely, soon()).error().code, ErrorCode::kUnavailable); });
  EXPECT_LT(took, 0.5);
  EXPECT_FALSE(publisher.wait_ready(parts().in(std::chrono::milliseconds(50))));
  const double stopping = seconds_of([&] { publisher.stop(); });
  EXPECT_LT(stopping, 2.0);
}

}  // namespace
}  // namespace sluice::testing
