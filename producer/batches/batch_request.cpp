#include "producer/batches/batch_request.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "producer/api/job_fields.h"
#include "producer/api/json_fields.h"
#include "producer/api/url.h"
#include "producer/api/webhook_fields.h"
#include "producer/batches/input_line.h"

namespace sluice::producer {

namespace {

using nlohmann::json;

constexpr std::int64_t kOutputExpiresMinS = 3'600;
constexpr std::int64_t kOutputExpiresMaxS = 2'592'000;
constexpr std::int64_t kCallbackLinesMax = 1'000;
constexpr std::int64_t kCallbackSecondsMax = 3'600;

void read_file(const json& value, FieldErrors& errors, FileId& file) {
  const std::string* text = read_string(value, "input_file_id", errors);
  if (text != nullptr) file.value = *text;
}

void read_endpoint(const json& value, FieldErrors& errors, std::string& endpoint) {
  const std::string* text = read_string(value, "endpoint", errors);
  if (text == nullptr) return;
  endpoint = *text;
  if (!batch_surface(endpoint)) {
    errors.add("endpoint", "invalid_value", "must be /v1/chat/completions, /v1/completions or /v1/responses");
  }
}

void read_window(const json& value, FieldErrors& errors, NewFileBatch& batch) {
  const std::string* text = read_string(value, "completion_window", errors);
  if (text == nullptr) return;
  const auto seconds = parse_window(*text);
  if (!seconds) {
    errors.add("completion_window", "invalid_value", "must be a time up to 7d, such as 24h, 90m or 30s");
    return;
  }
  batch.window = *text;
  batch.window_s = *seconds;
}

void read_output_expiry(const json& value, FieldErrors& errors, NewFileBatch& batch) {
  constexpr const char* kField = "output_expires_after";
  if (value.is_null()) return;
  if (!value.is_object()) {
    errors.add(kField, "invalid_type", "must be an object with anchor and seconds");
    return;
  }
  for (const auto& [name, member] : value.items()) {
    const std::string field = std::string(kField) + "." + field_name(name);
    if (name == "anchor") {
      if (member != "created_at") errors.add(field, "invalid_value", "must be created_at");
    } else if (name == "seconds") {
      read_integer(member, field, kOutputExpiresMinS, kOutputExpiresMaxS, errors,
                   [&batch](std::int64_t n) { batch.output_expires_s = n; });
    } else {
      errors.add(field, "unknown_field", "is not a field here");
    }
  }
  for (const char* needed : {"anchor", "seconds"}) {
    const auto given = value.find(needed);
    if (given == value.end() || given->is_null()) {
      errors.add(std::string(kField) + "." + needed, "missing_field", "is required");
    }
  }
}

void read_callback(const json& value, FieldErrors& errors, std::string& url) {
  const std::string* text = read_string(value, "callback_url", errors);
  if (text == nullptr) return;
  if (const Status good = check_callback_url(*text); !good) {
    errors.add("callback_url", "invalid_value", good.error().message);
  } else {
    url = *text;
  }
}

void read_callback_every(const json& value, FieldErrors& errors, NewFileBatch& batch) {
  constexpr const char* kField = "callback_every";
  if (value.is_null()) return;
  if (!value.is_object()) {
    errors.add(kField, "invalid_type", "must be an object with lines and seconds");
    return;
  }
  for (const auto& [name, member] : value.items()) {
    const std::string field = std::string(kField) + "." + field_name(name);
    if (name == "lines") {
      read_integer(member, field, 1, kCallbackLinesMax, errors,
                   [&batch](std::int64_t n) { batch.callback_lines = static_cast<int>(n); });
    } else if (name == "seconds") {
      read_integer(member, field, 1, kCallbackSecondsMax, errors,
                   [&batch](std::int64_t n) { batch.callback_seconds = static_cast<int>(n); });
    } else {
      errors.add(field, "unknown_field", "is not a field here");
    }
  }
  for (const char* needed : {"lines", "seconds"}) {
    const auto given = value.find(needed);
    if (given == value.end() || given->is_null()) {
      errors.add(std::string(kField) + "." + needed, "missing_field", "is required");
    }
  }
}

bool read_number(std::string_view text, std::int64_t min, std::int64_t max, std::int64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number >= min && number <= max;
}

}  // namespace

std::optional<std::int64_t> parse_window(std::string_view text) {
  if (text.size() < 2 || text.size() > 8 || text.front() < '0' || text.front() > '9') return std::nullopt;
  std::int64_t unit_s = 0;
  switch (text.back()) {
    case 's':
      unit_s = 1;
      break;
    case 'm':
      unit_s = 60;
      break;
    case 'h':
      unit_s = 3'600;
      break;
    case 'd':
      unit_s = 24 * 3'600;
      break;
    default:
      return std::nullopt;
  }
  std::int64_t number = 0;
  if (!read_number(text.substr(0, text.size() - 1), 1, kWindowMaxS / unit_s, number)) return std::nullopt;
  return number * unit_s;
}

tl::expected<BatchRequest, SubmitRefusal> parse_batch_request(std::string_view body) {
  BatchRequest request;
  NewFileBatch& batch = request.batch;
  batch.window = "24h";
  batch.window_s = 24 * 3'600;
  FieldErrors errors;
  std::string given = ",";
  const auto read =
      read_object(body, errors, [&](const std::string& name, const json& value, FieldErrors& into) {
        if (!value.is_null()) given += name + ",";
        if (name == "input_file_id") {
          read_file(value, into, batch.input_file_id);
        } else if (name == "endpoint") {
          read_endpoint(value, into, batch.endpoint);
        } else if (name == "completion_window") {
          read_window(value, into, batch);
        } else if (name == "metadata") {
          read_metadata(value, into, batch.metadata_json);
        } else if (name == "output_expires_after") {
          read_output_expiry(value, into, batch);
        } else if (name == "callback_url") {
          read_callback(value, into, batch.callback_url);
        } else if (name == "callback_every") {
          read_callback_every(value, into, batch);
        } else if (name == "priority") {
          read_priority(value, into, batch.priority);
        } else if (name == "validate_only") {
          if (value.is_boolean()) {
            request.validate_only = value.get<bool>();
          } else if (!value.is_null()) {
            into.add(name, "invalid_type", "must be true or false");
          }
        } else {
          return false;
        }
        return true;
      });
  if (!read) return tl::unexpected(read.error());
  const auto is_given = [&given](const char* name) {
    return given.find("," + std::string(name) + ",") != std::string::npos;
  };
  for (const char* needed : {"input_file_id", "endpoint"}) {
    if (!is_given(needed)) {
      errors.add(needed, "missing_field", "is required");
    }
  }
  if (is_given("callback_every") && !is_given("callback_url")) {
    errors.add("callback_url", "missing_field", "is required with callback_every");
  }
  if (!errors.empty()) return refuse_fields(std::move(errors));
  return request;
}

tl::expected<BatchPage, BadQuery> read_batch_query(const http::RequestHead& head) {
  BatchPage page;
  for (const auto& [name, value] : head.query) {
    if (is_given_twice(head, name)) return bad_param(name, "is given twice");
    if (name == "after") {
      if (!is_well_formed_id(value, BatchIdTag::kPrefix)) return bad_param(name, "must be the id of a batch");
      page.after.value = value;
    } else if (name == "limit") {
      if (!read_limit(value, page.limit)) return bad_param(name, "must be a whole number from 1 to 100");
    } else {
      return bad_param(name, "is not a query parameter of this route");
    }
  }
  return page;
}

tl::expected<LinesPage, BadQuery> read_lines_query(const http::RequestHead& head) {
  LinesPage page;
  for (const auto& [name, value] : head.query) {
    if (is_given_twice(head, name)) return bad_param(name, "is given twice");
    std::int64_t number = 0;
    if (name == "after") {
      if (!read_number(value, 0, std::int64_t{1} << 32, number)) {
        return bad_param(name, "must be what an earlier answer's X-Next-After said");
      }
      page.after = number;
    } else if (name == "limit") {
      if (!read_number(value, 1, kLinesLimitMax, number)) {
        return bad_param(name, "must be a whole number from 1 to 10000");
      }
      page.limit = static_cast<int>(number);
    } else {
      return bad_param(name, "is not a query parameter of this route");
    }
  }
  return page;
}

}  // namespace sluice::producer
