// Reading typed members of JSON objects: null counts as not given, and what is wrong goes to FieldErrors.
//
// Pure functions.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "producer/api/field_errors.h"

namespace sluice::producer {

struct NumberRange {
  double min = 0;
  double max = 0;
  bool min_open = false;  // The bound itself is outside.
  bool max_open = false;
};

// Calls `take` with a whole number from `min` to `max`.
void read_integer(const nlohmann::json& value, const std::string& field, std::int64_t min, std::int64_t max,
                  FieldErrors& errors, const std::function<void(std::int64_t)>& take);
void read_number(const nlohmann::json& value, const std::string& field, NumberRange range,
                 FieldErrors& errors, double& target);
// The string, or null if it is null or none (then there is an error).
const std::string* read_string(const nlohmann::json& value, const std::string& field, FieldErrors& errors);

// Sets `target` if it is true or false; false: it is null, or something else (then there is an error).
bool read_bool(const nlohmann::json& value, const std::string& field, FieldErrors& errors, bool& target);

// Null, false, or an empty string, array or object: asks for nothing.
bool is_blank(const nlohmann::json& value);

// Unicode characters of valid UTF-8.
std::size_t count_characters(std::string_view text);

}  // namespace sluice::producer
