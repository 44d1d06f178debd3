#include "common/rabbitmq/topology.h"

#include <gtest/gtest.h>

#include <set>

#include "schema/schema.h"

namespace sluice {
namespace {

std::string fault_of(std::string_view json) {
  const auto parsed = Topology::parse(json);
  return parsed ? "" : parsed.error().message;
}

TEST(Topology, TheBuiltInOneIsTheDesigns) {
  const Topology& topology = Topology::builtin();
  std::set<std::string> exchanges, queues;
  for (const auto& exchange : topology.exchanges()) exchanges.insert(exchange.name);
  for (const auto& queue : topology.queues()) queues.insert(queue.queue.name);
  EXPECT_EQ(exchanges, (std::set<std::string>{std::string(kTasksExchange), std::string(kEventsExchange),
                                              std::string(kReturnedExchange)}));
  EXPECT_EQ(queues, (std::set<std::string>{std::string(kReturnedQueue), std::string(kDeadQueue),
                                           std::string(kCallbackQueue)}));
  EXPECT_EQ(topology.tasks_exchange(), kTasksExchange);
  EXPECT_EQ(topology.events_exchange(), kEventsExchange);
}

TEST(Topology, TaskQueuesAreDurableQuorumQueuesThatRefuseAndReturn) {
  const BoundQueue queue = Topology::builtin().task_queue("sluice-tiny", Priority::kLow);
  EXPECT_EQ(queue.queue.name, "tasks.sluice-tiny.low");
  EXPECT_EQ(queue.queue.name, task_queue_name("sluice-tiny", Priority::kLow));
  EXPECT_TRUE(queue.queue.durable);
  const AmqpTable expected = {{"x-queue-type", std::string("quorum")},
                              {"x-delivery-limit", std::int64_t(100)},
                              {"x-overflow", std::string("reject-publish")},
                              {"x-dead-letter-exchange", std::string(kReturnedExchange)},
                              {"x-dead-letter-strategy", std::string("at-least-once")}};
  EXPECT_EQ(queue.queue.arguments, expected);
  ASSERT_EQ(queue.bindings.size(), 1u);
  EXPECT_EQ(queue.bindings[0].exchange, kTasksExchange);
  EXPECT_EQ(queue.bindings[0].routing_key, queue.queue.name);
}

TEST(Topology, DeadLetterTargetsComeWithoutALimitOfTheirOwn) {
  for (const auto& queue : Topology::builtin().queues()) {
    EXPECT_FALSE(queue.queue.arguments.contains("x-max-length")) << queue.queue.name;
    EXPECT_FALSE(queue.queue.arguments.contains("x-delivery-limit")) << queue.queue.name;
  }
}

TEST(Topology, ModelsWithOddNamesGetNamesOfTheirOwn) {
  const std::vector<std::string> models = {"a",
                                           "A",
                                           "a.b",
                                           "a%2Eb",
                                           "a b",
                                           "a/b",
                                           "a\nb",
                                           "深度",
                                           "",
                                           "*",
                                           "#",
                                           std::string(300, 'x'),
                                           std::string(301, 'x'),
                                           std::string(300, '.'),
                                           std::string(127, 'x') + "~"};
  std::set<std::string> names;
  for (const auto& model : models) {
    for (const Priority priority : {Priority::kHigh, Priority::kNormal, Priority::kLow}) {
      const std::string name = task_queue_name(model, priority);
      EXPECT_TRUE(names.insert(name).second) << name;
      EXPECT_LE(name.size(), 255u);
      EXPECT_EQ(name.find_first_of(" \n/*#"), std::string::npos) << name;
    }
  }
  EXPECT_EQ(queue_safe_name("qwen2.5-0.5b"), "qwen2%2E5-0%2E5b");
}

TEST(Topology, FaultsAreNamed) {
  EXPECT_NE(fault_of("{"), "");
  EXPECT_NE(fault_of(R"({"exchanges": [], "queues": []})").find("task_queues"), std::string::npos);
  const std::string rest = R"("task_queues": {"prefix": "t", "exchange": "e"}, "events_exchange": "e"})";
  const std::string exchange = R"({"exchanges": [{"name": "e", "type": "topic"}], )";
  EXPECT_EQ(fault_of(exchange + R"("queues": [], )" + rest), "");
  EXPECT_NE(fault_of(exchange + R"("queues": [{"name": "q", "bindigs": []}], )" + rest).find("bindigs"),
            std::string::npos);
  EXPECT_NE(
      fault_of(exchange +
               R"("queues": [{"name": "q", "bindings": [{"exchange": "x", "routing_key": ""}]}], )" + rest)
          .find("unknown exchange \"x\""),
      std::string::npos);
  EXPECT_NE(fault_of(exchange +
                     R"("queues": [{"name": "q", "arguments": {"x-dead-letter-exchange": "x"}}], )" + rest)
                .find("dead-letter"),
            std::string::npos);
  EXPECT_NE(fault_of(exchange + R"("queues": [{"name": "q"}, {"name": "q"}], )" + rest).find("twice"),
            std::string::npos);
  EXPECT_NE(
      fault_of(exchange + R"("queues": [{"name": "q", "arguments": {"x": 1.5}}], )" + rest).find("neither"),
      std::string::npos);
}

}  // namespace
}  // namespace sluice
