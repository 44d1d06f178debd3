#include <gtest/gtest.h>

#include "tests/contract/rabbitmq/fixture.h"

namespace sluice::testing {
namespace {

TEST_F(RabbitmqContract, TheTopologyIsDeclaredTwiceAndVerified) {
  EXPECT_TRUE(control_->declare(Topology::builtin(), soon()));
  const Status verified = control_->verify(Topology::builtin(), soon());
  EXPECT_TRUE(verified) << verified.error().message;
  // A task queue of a model: all arguments of it are known to this broker.
  const BoundQueue queue = Topology::builtin().task_queue("contract model 深度", Priority::kHigh);
  EXPECT_TRUE(control_->declare(queue, soon()));
  EXPECT_TRUE(control_->declare(queue, soon()));
  EXPECT_EQ(depth(queue), 0u);
}

TEST_F(RabbitmqContract, OtherArgumentsAreAConflictThatNamesTheQueue) {
  BoundQueue queue = make_queue();
  queue.queue.arguments["x-delivery-limit"] = std::int64_t(7);
  const Status declared = control_->declare(queue, soon());
  ASSERT_FALSE(declared);
  EXPECT_EQ(declared.error().code, ErrorCode::kConflict);
  EXPECT_NE(declared.error().message.find(queue.queue.name), std::string::npos) << declared.error().message;
  EXPECT_NE(declared.error().message.find("x-delivery-limit"), std::string::npos) << declared.error().message;
  // The connection goes on.
  EXPECT_TRUE(control_->verify(Topology::builtin(), soon()));
}

TEST_F(RabbitmqContract, VerifyFindsAMissingQueueAndCreatesNothing) {
  const auto altered = Topology::parse(R"({"exchanges": [{"name": "sluice.tasks", "type": "direct"}],
      "queues": [{"name": "contract.absent", "arguments": {"x-queue-type": "quorum"}}],
      "task_queues": {"prefix": "tasks", "exchange": "sluice.tasks"}, "events_exchange": "sluice.tasks"})");
  ASSERT_TRUE(altered) << altered.error().message;
  for (int i = 0; i < 2; ++i) {
    const Status verified = control_->verify(*altered, soon());
    ASSERT_FALSE(verified);
    EXPECT_EQ(verified.error().code, ErrorCode::kNotFound) << verified.error().message;
  }
}

TEST_F(RabbitmqContract, DepthCountsWhatWaitsAndWhoConsumes) {
  const BoundQueue queue = make_queue();
  EXPECT_EQ(control_->depth("contract.nowhere", soon()).error().code, ErrorCode::kNotFound);
  const auto publisher = make_publisher();
  ASSERT_TRUE(publisher->publish(message(queue, "a"), soon()));
  ASSERT_TRUE(publisher->publish(message(queue, "b"), soon()));
  EXPECT_TRUE(eventually([&] { return depth(queue) == 2; }));
  EXPECT_EQ(control_->purge(queue.queue.name, soon()).value(), 2u);
  Inbox inbox;
  const auto consumer = make_consumer(queue, inbox);
  EXPECT_TRUE(eventually([&] { return control_->depth(queue.queue.name, soon())->consumers == 1; }));
}

TEST_F(RabbitmqContract, ABrokerThatIsNotThereOrRefusesIsUnavailable) {
  RabbitmqConfig nowhere = rabbitmq_config();
  nowhere.port = 1;
  EXPECT_EQ(BrokerControl(nowhere, parts().clock).depth("q", soon()).error().code, ErrorCode::kUnavailable);
  RabbitmqConfig refused = rabbitmq_config();
  refused.password = Secret("wrong");
  const auto depth = BrokerControl(refused, parts().clock).depth("q", soon());
  EXPECT_EQ(depth.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(depth.error().message.find("ACCESS_REFUSED"), std::string::npos) << depth.error().message;
  EXPECT_EQ(control_->depth("q", parts().in(std::chrono::milliseconds(-1))).error().code,
            ErrorCode::kDeadline);
}

}  // namespace
}  // namespace sluice::testing
