#include "producer/openai/input_messages.h"

#include <array>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "producer/api/job_fields.h"
#include "producer/api/json_fields.h"

namespace sluice::producer {

namespace {

using nlohmann::json;

// The kinds of content parts that hold text, each with the member that does.
struct TextPart {
  std::string_view type;
  const char* member;
};
constexpr std::array<TextPart, 2> kChatParts = {{{"text", "text"}, {"refusal", "refusal"}}};
constexpr std::array<TextPart, 3> kResponseParts = {
    {{"input_text", "text"}, {"output_text", "text"}, {"refusal", "refusal"}}};

const TextPart* text_part_of(const json& part, std::span<const TextPart> known) {
  if (!part.is_object()) return nullptr;
  const auto type = part.find("type");
  if (type == part.end() || !type->is_string()) return nullptr;
  for (const TextPart& one : known) {
    if (type->get_ref<const std::string&>() == one.type) return &one;
  }
  return nullptr;
}

void read_parts(const json& parts, const std::string& path, std::span<const TextPart> known,
                FieldErrors& errors, std::string& content) {
  bool first = true;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const json& part = parts[i];
    const std::string here = path + "[" + std::to_string(i) + "]";
    const TextPart* kind = text_part_of(part, known);
    if (kind == nullptr) {
      const bool typed = part.is_object() && part.contains("type") && part["type"].is_string();
      errors.add(typed ? here + ".type" : here, typed ? "unsupported_parameter" : "invalid_type",
                 typed ? "must be " + std::string(known.front().type) + ": this server takes text only"
                       : "must be a part of text");
      continue;
    }
    const auto text = part.find(kind->member);
    if (text == part.end() || !text->is_string()) {
      errors.add(here + "." + kind->member, text == part.end() ? "missing_field" : "invalid_type",
                 "must be a string");
      continue;
    }
    if (!first) content += '\n';
    first = false;
    content += text->get_ref<const std::string&>();
  }
}

// `may_be_none`: an assistant's message may hold nothing but a refusal.
void read_content(const json& message, const std::string& path, std::span<const TextPart> known,
                  bool may_be_none, FieldErrors& errors, std::string& content) {
  const auto found = message.find("content");
  if (found == message.end() || found->is_null()) {
    const auto refusal = message.find("refusal");
    if (may_be_none && refusal != message.end() && refusal->is_string()) {
      content = refusal->get<std::string>();
    } else if (!may_be_none) {
      errors.add(path, found == message.end() ? "missing_field" : "invalid_type",
                 found == message.end() ? "is required" : "must be a string or an array of text parts");
    }
    return;
  }
  if (found->is_string()) {
    content = found->get<std::string>();
  } else if (found->is_array() && !found->empty()) {
    read_parts(*found, path, known, errors, content);
  } else {
    errors.add(path, "invalid_type", "must be a string or an array of text parts");
  }
}

bool is_tool_role(const json& role) {
  return role.is_string() && (role == "tool" || role == "function");
}

RequestMessage read_message(const json& in, const std::string& path, std::span<const TextPart> known,
                            FieldErrors& errors) {
  RequestMessage message;
  const auto role = in.find("role");
  if (role == in.end()) {
    errors.add(path + ".role", "missing_field", "is required");
  } else if (is_tool_role(*role)) {
    errors.add(path + ".role", "unsupported_parameter", "names a tool: this server calls no tools");
    return message;
  } else {
    read_role(*role, path + ".role", errors, message);
  }
  read_content(in, path + ".content", known, message.role == "assistant", errors, message.content);
  for (const char* name : {"tool_calls", "function_call", "audio"}) {
    const auto member = in.find(name);
    if (member != in.end() && !is_blank(*member)) {
      errors.add(path + "." + name, "unsupported_parameter",
                 "is not taken: this server works with text only");
    }
  }
  return message;
}

bool check_list(const json& in, const char* field, FieldErrors& errors) {
  if (in.is_array() && !in.empty() && in.size() <= kMessagesMax) return true;
  errors.add(field, in.is_array() ? "out_of_range" : "invalid_type",
             "must be an array of 1 to 1000 messages");
  return false;
}

}  // namespace

std::vector<RequestMessage> read_chat_messages(const json& in, FieldErrors& errors) {
  std::vector<RequestMessage> messages;
  if (!check_list(in, "messages", errors)) return messages;
  messages.reserve(in.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::string path = "messages[" + std::to_string(i) + "]";
    if (!in[i].is_object()) {
      errors.add(path, "invalid_type", "must be an object with role and content");
      continue;
    }
    messages.push_back(read_message(in[i], path, kChatParts, errors));
  }
  return messages;
}

std::vector<RequestMessage> read_response_input(const json& in, FieldErrors& errors) {
  std::vector<RequestMessage> messages;
  if (in.is_string()) {
    if (in.get_ref<const std::string&>().empty()) {
      errors.add("input", "invalid_value", "must not be empty");
    } else {
      messages.push_back({"user", in.get<std::string>()});
    }
    return messages;
  }
  if (!check_list(in, "input", errors)) return messages;
  messages.reserve(in.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::string path = "input[" + std::to_string(i) + "]";
    const json& item = in[i];
    if (!item.is_object()) {
      errors.add(path, "invalid_type", "must be an object");
      continue;
    }
    const auto type = item.find("type");
    if (type != item.end() && *type == "reasoning") continue;
    if (type != item.end() && !type->is_null() && *type != "message") {
      errors.add(path + ".type", "unsupported_parameter", "must be message: this server takes text only");
      continue;
    }
    messages.push_back(read_message(item, path, kResponseParts, errors));
  }
  if (messages.empty() && errors.empty()) errors.add("input", "invalid_value", "must hold a message");
  return messages;
}

}  // namespace sluice::producer
