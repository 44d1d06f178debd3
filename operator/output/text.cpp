#include "operator/output/text.h"

#include <utf8proc.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>

namespace sluice::operate {

namespace {

constexpr std::string_view kEllipsis = "…";
constexpr std::int64_t kSecondsMax = 253402300799;  // The last second of the year 9999.

// The next character of `text` and its length in bytes; -1 for a byte that begins none.
std::pair<utf8proc_int32_t, std::size_t> next_character(std::string_view text) {
  utf8proc_int32_t code = -1;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const auto length = utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size()), &code);
  if (length <= 0) return {-1, 1};
  return {code, static_cast<std::size_t>(length)};
}

template <class Number>
bool read_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// "2026-11-22" and, after a 'T' or a space, "07:20" or "07:20:01", with or without "Z".
std::optional<std::int64_t> read_calendar(std::string_view text) {
  if (text.ends_with('Z')) text.remove_suffix(1);
  if (text.size() != 10 && text.size() != 16 && text.size() != 19) return std::nullopt;
  const std::string_view shape = "dddd-dd-ddTdd:dd:dd";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool fits = shape[i] == 'd'   ? c >= '0' && c <= '9'
                      : shape[i] == 'T' ? c == 'T' || c == ' '
                                        : c == shape[i];
    if (!fits) return std::nullopt;
  }
  const auto part = [text](std::size_t at, std::size_t length) {
    int number = 0;
    if (at + length <= text.size()) read_number(text.substr(at, length), number);
    return number;
  };
  const std::chrono::year_month_day day{std::chrono::year(part(0, 4)),
                                        std::chrono::month(static_cast<unsigned>(part(5, 2))),
                                        std::chrono::day(static_cast<unsigned>(part(8, 2)))};
  const int hour = part(11, 2);
  const int minute = part(14, 2);
  const int second = part(17, 2);
  if (!day.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(day).time_since_epoch().count();
  return ((days * 24 + hour) * 60 + minute) * 60 + second;
}

}  // namespace

int text_width(std::string_view safe) {
  int width = 0;
  while (!safe.empty()) {
    const auto [code, length] = next_character(safe);
    width += code < 0 ? 1 : utf8proc_charwidth(code);
    safe.remove_prefix(length);
  }
  return width;
}

std::string cut_text(std::string_view safe, int columns) {
  if (text_width(safe) <= columns) return std::string(safe);
  if (columns < 1) return {};
  std::string out;
  int width = 0;
  while (!safe.empty()) {
    const auto [code, length] = next_character(safe);
    const int own = code < 0 ? 1 : utf8proc_charwidth(code);
    if (width + own > columns - 1) break;
    width += own;
    out += safe.substr(0, length);
    safe.remove_prefix(length);
  }
  return out + std::string(kEllipsis);
}

std::string count_text(std::int64_t count) {
  const std::string digits = std::to_string(count);
  std::string out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const std::size_t left = digits.size() - i;
    if (left % 3 == 0 && !out.empty() && out != "-") out += ',';
    out += digits[i];
  }
  return out;
}

std::string counted(std::int64_t count, std::string_view one, std::string_view many) {
  return count_text(count) + " " + std::string(count == 1 ? one : many);
}

std::string duration_text(std::int64_t seconds) {
  struct Unit {
    std::int64_t seconds;
    char letter;
  };
  constexpr std::array<Unit, 4> kUnits = {{{86'400, 'd'}, {3'600, 'h'}, {60, 'm'}, {1, 's'}}};
  if (seconds < 0) seconds = 0;
  for (std::size_t i = 0; i + 1 < kUnits.size(); ++i) {
    if (seconds < kUnits[i].seconds) continue;
    std::string text = count_text(seconds / kUnits[i].seconds) + kUnits[i].letter;
    const std::int64_t rest = seconds % kUnits[i].seconds / kUnits[i + 1].seconds;
    if (rest > 0) text += " " + std::to_string(rest) + kUnits[i + 1].letter;
    return text;
  }
  return std::to_string(seconds) + "s";
}

std::string time_text(std::int64_t unix_seconds) {
  const std::chrono::sys_seconds at{std::chrono::seconds(unix_seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss time{at - day};
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%04d-%02u-%02u %02d:%02d:%02dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                static_cast<int>(time.seconds().count()));
  return buffer;
}

Result<std::int64_t> parse_duration(std::string_view text) {
  const auto wrong = [] {
    return fail(ErrorCode::kInvalid, "must be a duration such as 90s, 15m, 2h or 3d");
  };
  std::int64_t scale = 1;
  std::string_view digits = text;
  if (!text.empty()) {
    switch (text.back()) {
      case 's':
        scale = 1;
        break;
      case 'm':
        scale = 60;
        break;
      case 'h':
        scale = 3'600;
        break;
      case 'd':
        scale = 86'400;
        break;
      default:
        scale = 0;
    }
    if (scale == 0) {
      scale = 1;
    } else {
      digits.remove_suffix(1);
    }
  }
  std::int64_t number = 0;
  if (!read_number(digits, number) || number < 0 || number > kSecondsMax / scale) return wrong();
  return number * scale;
}

Result<std::int64_t> parse_time(std::string_view text, std::int64_t now_s) {
  std::int64_t seconds = 0;
  if (text.starts_with('@') && read_number(text.substr(1), seconds) && seconds > 0 && seconds <= kSecondsMax)
    return seconds;
  if (const auto calendar = read_calendar(text)) return *calendar;
  if (!text.empty() && text.back() >= 'a' && text.back() <= 'z') {
    if (const auto ago = parse_duration(text); ago && *ago < now_s) return now_s - *ago;
  }
  return fail(ErrorCode::kInvalid,
              "must be how long ago (30m, 2h, 3d), a UTC time (2026-11-22T07:20), or @ and Unix seconds");
}

}  // namespace sluice::operate
