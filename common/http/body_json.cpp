#include "common/http/body_json.h"

#include <algorithm>

namespace sluice::http {

namespace {

std::string place_of(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const std::size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  return "line " + std::to_string(line) + ", column " + std::to_string(before.size() - line_start + 1);
}

// Depth and number of values are bounded before anything is built: a few megabytes of brackets would
// otherwise become a hundred times as much memory, and a stack as deep as the sender likes wherever the tree
// is walked.
Status check_shape(std::string_view text, int depth_max, std::size_t values_max) {
  int depth = 0;
  std::size_t values = 1;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
      continue;
    }
    if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      ++values;
      if (++depth > depth_max) {
        return fail(ErrorCode::kInvalid,
                    "JSON is nested deeper than " + std::to_string(depth_max) + " at " + place_of(text, i));
      }
    } else if (c == ']' || c == '}') {
      --depth;
    } else if (c == ',') {
      ++values;
    }
    if (values > values_max) {
      return fail(ErrorCode::kInvalid, "JSON holds more than " + std::to_string(values_max) + " values");
    }
  }
  return {};
}

// The library's message without its number, its position, and what it quotes of the text.
std::string reason_of(std::string_view what) {
  constexpr std::string_view kQuote = "; last read: '";
  constexpr std::string_view kExpected = "; expected ";
  const std::size_t dash = what.find(" - ");
  if (dash == std::string_view::npos) return "syntax error";
  what.remove_prefix(dash + 3);
  const std::size_t quote = what.find(kQuote);
  if (quote == std::string_view::npos) return std::string(what);
  const std::size_t expected = what.rfind(kExpected);
  std::string reason(what.substr(0, quote));
  if (expected != std::string_view::npos && expected > quote) reason += what.substr(expected);
  return reason;
}

}  // namespace

Result<nlohmann::json> parse_json(std::string_view text, int depth_max, std::size_t values_max) {
  SLUICE_TRY(check_shape(text, depth_max, values_max));
  try {
    return nlohmann::json::parse(text.begin(), text.end());
  } catch (const nlohmann::json::parse_error& error) {
    // `byte` counts from 1.
    const std::size_t offset = error.byte == 0 ? 0 : error.byte - 1;
    return fail(ErrorCode::kInvalid,
                "invalid JSON at " + place_of(text, offset) + ": " + reason_of(error.what()));
  } catch (const nlohmann::json::exception&) {
    return fail(ErrorCode::kInvalid, "invalid JSON: a number is out of range");
  }
}

std::string dump_json(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Response json_response(int status, const nlohmann::json& value) {
  return Response::json(status, dump_json(value));
}

}  // namespace sluice::http
