// JSON from outside: nothing in it can throw, recurse deeply or smuggle in broken text.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/http/message.h"

namespace sluice::http {

inline constexpr int kJsonDepthMax = 64;
inline constexpr std::size_t kJsonValuesMax = 1'000'000;

// kInvalid: not one JSON value (RFC 8259) in valid UTF-8, or nested deeper than `depth_max`, or of more than
// `values_max` values; the message says what is wrong and at which line and column, and quotes nothing of the
// text. Of keys that come twice in an object the last counts.
Result<nlohmann::json> parse_json(std::string_view text, int depth_max = kJsonDepthMax,
                                  std::size_t values_max = kJsonValuesMax);

// Text for the wire. Strings that aren't valid UTF-8 get replacement characters; never throws.
std::string dump_json(const nlohmann::json& value);

Response json_response(int status, const nlohmann::json& value);

}  // namespace sluice::http
