// The members of a small JSON body, each known; what is missing stays empty, what is wrong is noted.
//
// Not safe for concurrent use.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "common/http/message.h"
#include "producer/api/field_errors.h"

namespace sluice::producer {

struct BodyMembers {
  nlohmann::json members;  // An object, whatever came.
  FieldErrors errors;

  BodyMembers(const std::string& text, std::initializer_list<std::string_view> known);
  // Null counts as not given.
  std::string text(const char* name, std::size_t characters_max, bool required);
  // A required whole number; 0 if there is none.
  std::int64_t whole(const char* name, std::int64_t least, std::int64_t most);
  http::Response refusal();
};

}  // namespace sluice::producer
