#include "producer/admin/body_members.h"

#include <algorithm>

#include "common/http/body_json.h"
#include "common/text/unicode.h"
#include "producer/api/answers.h"
#include "producer/api/json_fields.h"

namespace sluice::producer {

using nlohmann::json;

BodyMembers::BodyMembers(const std::string& text, std::initializer_list<std::string_view> known) {
  const auto parsed = http::parse_json(text);
  if (!parsed) {
    errors.add("", "invalid_json", parsed.error().message);
  } else if (!parsed->is_object()) {
    errors.add("", "invalid_type", "must be a JSON object");
  } else {
    members = *parsed;
    for (const auto& [name, value] : members.items()) {
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        errors.add(field_name(name), "unknown_field", "is not a field of this route");
      }
    }
  }
  if (!members.is_object()) members = json::object();
}

std::string BodyMembers::text(const char* name, std::size_t characters_max, bool required) {
  const auto found = members.find(name);
  if (found == members.end() || found->is_null()) {
    if (required && errors.empty()) errors.add(name, "missing_field", "is required");
    return {};
  }
  const std::string* value = read_string(*found, name, errors);
  if (value == nullptr) return {};
  if (value->empty() || count_characters(*value) > characters_max) {
    errors.add(name, "out_of_range", "must have 1 to " + std::to_string(characters_max) + " characters");
  }
  return *value;
}

std::int64_t BodyMembers::whole(const char* name, std::int64_t least, std::int64_t most) {
  const auto found = members.find(name);
  if (found == members.end() || found->is_null()) {
    if (errors.empty()) errors.add(name, "missing_field", "is required");
    return 0;
  }
  std::int64_t value = 0;
  read_integer(*found, name, least, most, errors, [&value](std::int64_t number) { value = number; });
  return value;
}

http::Response BodyMembers::refusal() {
  return refusal_answer(refusal_of(std::move(errors)));
}

}  // namespace sluice::producer
