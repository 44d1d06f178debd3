// RabbitMQ as the loops see it: queues that count and keep messages, and failures on demand. Not safe for
// concurrent use, except ready().
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/rabbitmq/topology.h"
#include "producer/dispatch/broker.h"

namespace sluice::producer {

class FakeBroker final : public Broker {
 public:
  bool ready() const override { return up; }

  std::vector<Status> publish_all(std::vector<Message> messages, Deadline) override {
    std::vector<Status> answers;
    for (Message& message : messages) {
      attempts.push_back(message.message_id);
      if (!failures.empty()) {
        const auto [code, arrives] = failures.front();
        failures.pop_front();
        if (arrives) deliver(std::move(message));
        answers.push_back(fail(code, "asked for"));
      } else if (!up) {
        answers.push_back(fail(ErrorCode::kUnavailable, "down"));
      } else if (!declared_exchanges) {
        answers.push_back(fail(ErrorCode::kInvalid, "no such exchange"));
      } else {
        answers.push_back(deliver(std::move(message)) ? Status() : fail(ErrorCode::kNotFound, "no route"));
      }
    }
    return answers;
  }

  Result<QueueDepth> depth(const std::string& queue, Deadline) override {
    if (!up) return fail(ErrorCode::kUnavailable, "down");
    const auto found = queues.find(queue);
    if (found == queues.end()) return fail(ErrorCode::kNotFound, "no queue " + queue);
    return QueueDepth{found->second.size(), 0};
  }

  Status declare_task_queue(const std::string& model, Priority priority, Deadline deadline) override {
    if (Status status = declare_topology(deadline); !status) return status;
    queues[task_queue_name(model, priority)];
    return {};
  }

  Status declare_topology(Deadline) override {
    if (!up) return fail(ErrorCode::kUnavailable, "down");
    ++declarations;
    declared_exchanges = true;
    queues[std::string(kCallbackQueue)];
    return {};
  }

  // --- for tests ---
  void wipe() {
    queues.clear();
    declared_exchanges = false;
  }
  void purge() {
    for (auto& [name, queue] : queues) queue.clear();
  }
  // A worker takes `count` messages.
  std::vector<Message> take(const std::string& queue, std::size_t count) {
    std::vector<Message> taken;
    auto& messages = queues[queue];
    while (taken.size() < count && !messages.empty()) {
      taken.push_back(std::move(messages.front()));
      messages.pop_front();
    }
    return taken;
  }
  std::size_t ready_in(const std::string& queue) { return queues[queue].size(); }

  std::atomic<bool> up{true};
  std::map<std::string, std::deque<Message>> queues;
  bool declared_exchanges = false;
  int declarations = 0;
  std::vector<std::string> attempts;                // Message ids in order.
  std::deque<std::pair<ErrorCode, bool>> failures;  // For the next messages; true: it arrives all the same.

 private:
  bool deliver(Message message) {
    const std::string queue =
        message.exchange == kEventsExchange ? std::string(kCallbackQueue) : message.routing_key;
    const auto found = queues.find(queue);
    if (found == queues.end()) return false;
    found->second.push_back(std::move(message));
    return true;
  }
};

}  // namespace sluice::producer
