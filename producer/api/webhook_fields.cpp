#include "producer/api/webhook_fields.h"

#include <algorithm>
#include <charconv>

#include "common/http/body_json.h"

namespace sluice::producer {

using nlohmann::json;

namespace {

tl::unexpected<SubmitRefusal> refuse(std::string code, std::string message) {
  return tl::unexpected(SubmitRefusal{400, std::move(code), std::move(message), "", {}, false});
}

}  // namespace

tl::unexpected<SubmitRefusal> refuse_fields(FieldErrors errors) {
  return tl::unexpected(refusal_of(std::move(errors)));
}

tl::expected<void, SubmitRefusal> read_object(std::string_view body, FieldErrors& errors,
                                              const ReadField& read) {
  if (body.empty()) return {};
  const auto parsed = http::parse_json(body);
  if (!parsed) return refuse("invalid_json", parsed.error().message);
  if (!parsed->is_object()) return refuse("invalid_type", "The body must be a JSON object.");
  for (const auto& [name, value] : parsed->items()) {
    if (!read(name, value, errors)) errors.add(field_name(name), "unknown_field", "is not a field here");
  }
  return {};
}

tl::unexpected<BadQuery> bad_param(std::string_view param, std::string message) {
  return tl::unexpected(BadQuery{field_name(param), std::move(message)});
}

bool read_limit(std::string_view value, int& limit, int max) {
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), limit);
  return error == std::errc() && end == value.data() + value.size() && limit >= 1 && limit <= max;
}

bool is_given_twice(const http::RequestHead& head, const std::string& name) {
  return std::count_if(head.query.begin(), head.query.end(),
                       [&name](const auto& entry) { return entry.first == name; }) > 1;
}

}  // namespace sluice::producer
