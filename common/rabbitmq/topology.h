// Which exchanges and queues there are: read from schema/topology.json, which is also built into the binary.
//
// Plain data and pure functions; BrokerControl (broker_control.h) declares and verifies it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/job/job.h"
#include "common/rabbitmq/message.h"

namespace sluice {

struct ExchangeSpec {
  std::string name;
  std::string type;  // direct, topic, fanout
  bool durable = true;
};

struct QueueSpec {
  std::string name;  // Empty: the broker makes one up.
  bool durable = true;
  bool exclusive = false;
  bool auto_delete = false;
  AmqpTable arguments;
};

struct BindingSpec {
  std::string queue;
  std::string exchange;
  std::string routing_key;
};

// A queue together with what leads into it.
struct BoundQueue {
  QueueSpec queue;
  std::vector<BindingSpec> bindings;
};

class Topology {
 public:
  // The one that is built in.
  static const Topology& builtin();
  // kInvalid: says what is wrong and where.
  static Result<Topology> parse(std::string_view json);

  const std::vector<ExchangeSpec>& exchanges() const { return exchanges_; }
  // In the order of declaration: dead-letter targets before the queues that lead to them.
  const std::vector<BoundQueue>& queues() const { return queues_; }

  // The queue of a model and class, declared when the model is first seen.
  BoundQueue task_queue(std::string_view model, Priority priority) const;
  std::string task_queue_name(std::string_view model, Priority priority) const;
  const std::string& tasks_exchange() const { return tasks_exchange_; }
  const std::string& events_exchange() const { return events_exchange_; }

 private:
  std::vector<ExchangeSpec> exchanges_;
  std::vector<BoundQueue> queues_;
  std::string tasks_exchange_;
  std::string events_exchange_;
  std::string task_queue_prefix_;
  QueueSpec task_queue_template_;
};

// Fixed names of the built-in topology.
inline constexpr std::string_view kTasksExchange = "sluice.tasks";    // direct; key = task queue's name
inline constexpr std::string_view kEventsExchange = "sluice.events";  // topic; key = event type, "job.failed"
inline constexpr std::string_view kReturnedExchange = "sluice.returned";
inline constexpr std::string_view kReturnedQueue =
    "tasks.returned";                                         // Over the delivery limit: the rescuer's.
inline constexpr std::string_view kDeadQueue = "tasks.dead";  // Mirrors the table dead_letter.
inline constexpr std::string_view kCallbackQueue = "events.callback";

// The task queue's name, also its routing key on sluice.tasks: "tasks.<model>.<class>". Distinct models have
// distinct names.
std::string task_queue_name(std::string_view model, Priority priority);
// A model's name with every byte outside [A-Za-z0-9_-] written as %XX; long names are cut and get a hash.
std::string queue_safe_name(std::string_view model);

}  // namespace sluice
