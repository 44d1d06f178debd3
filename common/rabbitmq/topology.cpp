#include "common/rabbitmq/topology.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "common/base/check.h"
#include "common/crypto/crypto.h"
#include "schema/schema.h"

namespace sluice {

namespace {

using nlohmann::json;

constexpr std::size_t kSafeNameMax = 160;  // A queue's whole name may have 255 bytes.

tl::unexpected<Error> bad(const std::string& where, const std::string& what) {
  return fail(ErrorCode::kInvalid, "topology: " + where + ": " + what);
}

// Objects are read strictly: a misspelt member would silently change what is declared.
Status only_members(const json& object, const std::string& where, const std::set<std::string>& known) {
  if (!object.is_object()) return bad(where, "expected an object");
  for (const auto& [key, value] : object.items()) {
    if (!known.contains(key)) return bad(where, "unknown member \"" + key + "\"");
  }
  return {};
}

Result<std::string> text_member(const json& object, const char* name, const std::string& where) {
  const auto at = object.find(name);
  if (at == object.end() || !at->is_string())
    return bad(where, std::string("expected a string \"") + name + "\"");
  return at->get<std::string>();
}

Result<AmqpTable> read_arguments(const json& object, const std::string& where) {
  AmqpTable table;
  if (!object.contains("arguments")) return table;
  const json& arguments = object["arguments"];
  if (!arguments.is_object()) return bad(where, "expected an object \"arguments\"");
  for (const auto& [key, value] : arguments.items()) {
    if (value.is_boolean()) {
      table[key] = value.get<bool>();
    } else if (value.is_number_integer()) {
      table[key] = value.get<std::int64_t>();
    } else if (value.is_string()) {
      table[key] = value.get<std::string>();
    } else {
      return bad(where, "argument \"" + key + "\" is neither boolean, integer nor string");
    }
  }
  return table;
}

Result<ExchangeSpec> read_exchange(const json& object, const std::string& where) {
  SLUICE_TRY(only_members(object, where, {"name", "type"}));
  ExchangeSpec exchange;
  SLUICE_ASSIGN(exchange.name, text_member(object, "name", where));
  SLUICE_ASSIGN(exchange.type, text_member(object, "type", where));
  if (exchange.type != "direct" && exchange.type != "topic" && exchange.type != "fanout") {
    return bad(where, "unknown type \"" + exchange.type + "\"");
  }
  return exchange;
}

Result<BoundQueue> read_queue(const json& object, const std::string& where) {
  SLUICE_TRY(only_members(object, where, {"name", "arguments", "bindings"}));
  BoundQueue queue;
  SLUICE_ASSIGN(queue.queue.name, text_member(object, "name", where));
  if (queue.queue.name.empty()) return bad(where, "an empty name");
  SLUICE_ASSIGN(queue.queue.arguments, read_arguments(object, where));
  if (!object.contains("bindings")) return queue;
  if (!object["bindings"].is_array()) return bad(where, "expected an array \"bindings\"");
  for (const json& binding : object["bindings"]) {
    SLUICE_TRY(only_members(binding, where + ".bindings", {"exchange", "routing_key"}));
    BindingSpec spec;
    spec.queue = queue.queue.name;
    SLUICE_ASSIGN(spec.exchange, text_member(binding, "exchange", where + ".bindings"));
    SLUICE_ASSIGN(spec.routing_key, text_member(binding, "routing_key", where + ".bindings"));
    queue.bindings.push_back(std::move(spec));
  }
  return queue;
}

}  // namespace

const Topology& Topology::builtin() {
  static const Topology topology = [] {
    auto parsed = parse(schema::topology_json());
    SLUICE_CHECK(parsed.has_value());  // A test holds it valid.
    return *std::move(parsed);
  }();
  return topology;
}

Result<Topology> Topology::parse(std::string_view text) {
  const json root = json::parse(text, nullptr, false);
  if (root.is_discarded()) return bad("file", "not JSON");
  SLUICE_TRY(only_members(root, "file", {"exchanges", "queues", "task_queues", "events_exchange"}));
  if (!root.contains("exchanges") || !root["exchanges"].is_array())
    return bad("exchanges", "expected an array");
  if (!root.contains("queues") || !root["queues"].is_array()) return bad("queues", "expected an array");
  if (!root.contains("task_queues")) return bad("task_queues", "missing");

  Topology topology;
  std::set<std::string> exchanges;
  for (std::size_t i = 0; i < root["exchanges"].size(); ++i) {
    const std::string where = "exchanges[" + std::to_string(i) + "]";
    SLUICE_ASSIGN(ExchangeSpec exchange, read_exchange(root["exchanges"][i], where));
    if (!exchanges.insert(exchange.name).second) return bad(where, "a name used twice");
    topology.exchanges_.push_back(std::move(exchange));
  }
  // Whatever a queue leads to or is fed by must be declared here too.
  const auto known = [&](const std::string& exchange) { return exchanges.contains(exchange); };
  const auto dead_letters_somewhere = [&](const AmqpTable& arguments) {
    const auto target = arguments.find("x-dead-letter-exchange");
    return target == arguments.end() || (std::holds_alternative<std::string>(target->second) &&
                                         known(std::get<std::string>(target->second)));
  };
  std::set<std::string> queues;
  for (std::size_t i = 0; i < root["queues"].size(); ++i) {
    const std::string where = "queues[" + std::to_string(i) + "]";
    SLUICE_ASSIGN(BoundQueue queue, read_queue(root["queues"][i], where));
    if (!queues.insert(queue.queue.name).second) return bad(where, "a name used twice");
    for (const BindingSpec& binding : queue.bindings) {
      if (!known(binding.exchange)) return bad(where, "unknown exchange \"" + binding.exchange + "\"");
    }
    if (!dead_letters_somewhere(queue.queue.arguments)) return bad(where, "unknown dead-letter exchange");
    topology.queues_.push_back(std::move(queue));
  }

  const json& tasks = root["task_queues"];
  SLUICE_TRY(only_members(tasks, "task_queues", {"prefix", "exchange", "arguments"}));
  SLUICE_ASSIGN(topology.task_queue_prefix_, text_member(tasks, "prefix", "task_queues"));
  SLUICE_ASSIGN(topology.tasks_exchange_, text_member(tasks, "exchange", "task_queues"));
  SLUICE_ASSIGN(topology.task_queue_template_.arguments, read_arguments(tasks, "task_queues"));
  SLUICE_ASSIGN(topology.events_exchange_, text_member(root, "events_exchange", "file"));
  if (!known(topology.tasks_exchange_)) return bad("task_queues", "unknown exchange");
  if (!known(topology.events_exchange_)) return bad("events_exchange", "unknown exchange");
  if (!dead_letters_somewhere(topology.task_queue_template_.arguments)) {
    return bad("task_queues", "unknown dead-letter exchange");
  }
  return topology;
}

std::string Topology::task_queue_name(std::string_view model, Priority priority) const {
  return task_queue_prefix_ + "." + queue_safe_name(model) + "." + std::string(priority_name(priority));
}

BoundQueue Topology::task_queue(std::string_view model, Priority priority) const {
  BoundQueue queue{task_queue_template_, {}};
  queue.queue.name = task_queue_name(model, priority);
  queue.bindings.push_back({queue.queue.name, tasks_exchange_, queue.queue.name});
  return queue;
}

std::string task_queue_name(std::string_view model, Priority priority) {
  return Topology::builtin().task_queue_name(model, priority);
}

std::string queue_safe_name(std::string_view model) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string name;
  for (const char c : model) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    if (plain) {
      name.push_back(c);
    } else {
      name.push_back('%');
      name.push_back(kHex[byte >> 4]);
      name.push_back(kHex[byte & 15]);
    }
  }
  if (name.size() <= kSafeNameMax) return name;
  // '~' stands in no short name, so a cut one can equal none of them.
  const Sha256 digest = sha256(model);
  return name.substr(0, kSafeNameMax - 33) + "~" + to_hex(std::span(digest).first(16));
}

}  // namespace sluice
