#include "producer/api/json_fields.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

namespace sluice::producer {

namespace {

std::string plain(double number) {
  std::ostringstream out;
  out << number;
  return out.str();
}

}  // namespace

void read_integer(const nlohmann::json& value, const std::string& field, std::int64_t min, std::int64_t max,
                  FieldErrors& errors, const std::function<void(std::int64_t)>& take) {
  if (value.is_null()) return;
  if (!value.is_number_integer()) {
    errors.add(field, "invalid_type", "must be a whole number");
    return;
  }
  const bool too_big =
      value.is_number_unsigned() &&
      value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (too_big || value.get<std::int64_t>() < min || value.get<std::int64_t>() > max) {
    std::string message = "must be at least " + std::to_string(min);
    if (max != std::numeric_limits<std::int64_t>::max() || too_big) {
      message = "must be from " + std::to_string(min) + " to " + std::to_string(max);
    }
    errors.add(field, "out_of_range", std::move(message));
    return;
  }
  take(value.get<std::int64_t>());
}

void read_number(const nlohmann::json& value, const std::string& field, NumberRange range,
                 FieldErrors& errors, double& target) {
  if (value.is_null()) return;
  if (!value.is_number()) {
    errors.add(field, "invalid_type", "must be a number");
    return;
  }
  const double number = value.get<double>();
  const bool above = range.min_open ? number > range.min : number >= range.min;
  const bool below = range.max_open ? number < range.max : number <= range.max;
  if (!above || !below) {  // NaN, if it could come, fails both.
    errors.add(field, "out_of_range",
               std::string("must be ") + (range.min_open ? "above " : "at least ") + plain(range.min) +
                   " and " + (range.max_open ? "below " : "at most ") + plain(range.max));
    return;
  }
  target = number;
}

const std::string* read_string(const nlohmann::json& value, const std::string& field, FieldErrors& errors) {
  if (value.is_null()) return nullptr;
  if (!value.is_string()) {
    errors.add(field, "invalid_type", "must be a string");
    return nullptr;
  }
  return &value.get_ref<const std::string&>();
}

bool read_bool(const nlohmann::json& value, const std::string& field, FieldErrors& errors, bool& target) {
  if (value.is_null()) return false;
  if (!value.is_boolean()) {
    errors.add(field, "invalid_type", "must be true or false");
    return false;
  }
  target = value.get<bool>();
  return true;
}

bool is_blank(const nlohmann::json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.is_null() || value == false || (value.is_structured() && value.empty());
}

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

}  // namespace sluice::producer
