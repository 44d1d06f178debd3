// A message as it is published and as it is delivered. Plain data.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace sluice {

using AmqpValue = std::variant<bool, std::int64_t, std::string>;
using AmqpTable = std::map<std::string, AmqpValue, std::less<>>;

struct Message {
  std::string exchange;
  std::string routing_key;
  std::string body;
  std::string content_type = "application/json";
  std::string message_id;
  std::string type;  // What the body is, such as "job.succeeded".
  AmqpTable headers;
  bool persistent = true;
  // Unroutable: true = told to the publisher as kNotFound; false = dropped by the broker in silence.
  bool mandatory = true;
};

// Names one delivery for its ack. Belongs to one subscription of one connection: after either is gone, the
// broker delivers the message again, and using the old tag does nothing.
struct DeliveryTag {
  std::uint64_t epoch = 0;  // Of the subscription, within this process; later ones are larger.
  std::uint16_t channel = 0;
  std::uint64_t number = 0;
};

struct Delivery {
  DeliveryTag tag;
  std::string queue;  // As subscribed; the broker's name for a queue without one.
  std::string exchange;
  std::string routing_key;
  std::string body;
  std::string content_type;
  std::string message_id;
  std::string type;
  AmqpTable headers;  // Nested values (arrays, tables) are left out.
  bool redelivered = false;
  // How often a quorum queue delivered it before (x-delivery-count), 0 if it does not say.
  std::int64_t delivery_count = 0;
};

}  // namespace sluice
