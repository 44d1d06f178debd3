#include "common/text/chat_template.h"

#include <utility>

#include "common/text/jinja_eval.h"
#include "common/text/jinja_parser.h"
#include "common/text/jinja_value.h"

namespace sluice {

using jinja::Globals;
using jinja::Heap;
using jinja::Value;

struct ChatTemplate::Parsed {
  jinja::Body body;
};

ChatTemplate::ChatTemplate(std::shared_ptr<const Parsed> parsed) : parsed_(std::move(parsed)) {}

namespace {

Error named(Error error) {
  error.message = "chat template: " + error.message;
  return error;
}

// Bytes of all texts in it, roughly.
std::uint64_t input_bytes(const nlohmann::ordered_json& json, int depth = 0) {
  if (json.is_string()) return json.get_ref<const std::string&>().size();
  std::uint64_t bytes = 16;
  if (depth > jinja::kValueDepthMax) return bytes;
  for (const auto& element : json.items()) {
    bytes += input_bytes(element.value(), depth + 1);
    if (json.is_object()) bytes += element.key().size();
  }
  return bytes;
}

Result<Value> messages_value(Heap& heap, const std::vector<ChatMessage>& messages) {
  SLUICE_ASSIGN(const Value role_key, heap.text("role", true));
  SLUICE_ASSIGN(const Value content_key, heap.text("content", true));
  std::vector<Value> items;
  items.reserve(messages.size());
  for (const ChatMessage& message : messages) {
    SLUICE_ASSIGN(const Value role, heap.text(message.role, false));
    SLUICE_ASSIGN(const Value content, heap.text(message.content, false));
    SLUICE_ASSIGN(const Value item, heap.dict({{role_key, role}, {content_key, content}}));
    items.push_back(item);
  }
  return heap.list(std::move(items));
}

Result<MarkedText> run(const jinja::Body& body, Heap& heap, const Value& messages,
                       const RenderOptions& options) {
  Globals globals;
  globals.now = options.now;
  if (options.extra.is_object()) {
    for (const auto& variable : options.extra.items()) {
      SLUICE_ASSIGN(const Value value, heap.from_json(variable.value()));
      globals.variables.emplace_back(variable.key(), value);
    }
  } else if (!options.extra.is_null()) {
    return fail(ErrorCode::kInvalid, "the extra variables must be an object");
  }
  // After the others, which they therefore replace.
  SLUICE_ASSIGN(const Value bos, heap.text(options.bos_token, true));
  SLUICE_ASSIGN(const Value eos, heap.text(options.eos_token, true));
  globals.variables.emplace_back("messages", messages);
  globals.variables.emplace_back("add_generation_prompt", Value::boolean(options.add_generation_prompt));
  globals.variables.emplace_back("bos_token", bos);
  globals.variables.emplace_back("eos_token", eos);
  return jinja::evaluate(body, globals, heap);
}

jinja::Budget budget_for(const RenderOptions& options, std::uint64_t bytes) {
  const RenderLimits& limits = options.limits;
  return {limits.steps_max + bytes / 16, limits.bytes_max + limits.bytes_per_input_byte * bytes};
}

}  // namespace

Result<ChatTemplate> ChatTemplate::parse(std::string_view source) {
  auto body = jinja::parse(source);
  if (!body) return fail(named(std::move(body).error()));
  return ChatTemplate(std::make_shared<const Parsed>(Parsed{std::move(*body)}));
}

Result<std::string> ChatTemplate::render(const std::vector<ChatMessage>& messages,
                                         const RenderOptions& options) const {
  SLUICE_ASSIGN(const MarkedText text, render_marked(messages, options));
  return text.text();
}

Result<MarkedText> ChatTemplate::render_marked(const std::vector<ChatMessage>& messages,
                                               const RenderOptions& options) const {
  std::uint64_t bytes = input_bytes(options.extra);
  for (const ChatMessage& message : messages) bytes += 64 + message.role.size() + message.content.size();
  Heap heap(budget_for(options, bytes));
  SLUICE_ASSIGN(const Value value, messages_value(heap, messages));
  auto text = run(parsed_->body, heap, value, options);
  if (!text) return fail(named(std::move(text).error()));
  return text;
}

Result<MarkedText> ChatTemplate::render_marked(const nlohmann::ordered_json& messages,
                                               const RenderOptions& options) const {
  if (!messages.is_array()) return fail(ErrorCode::kInvalid, "the messages must be an array");
  Heap heap(budget_for(options, input_bytes(options.extra) + 4 * input_bytes(messages)));
  auto value = heap.from_json(messages);
  if (!value) return fail(named(std::move(value).error()));
  auto text = run(parsed_->body, heap, *value, options);
  if (!text) return fail(named(std::move(text).error()));
  return text;
}

}  // namespace sluice
