#include "common/config/parse_value.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace sluice::config {

namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array<Unit, 8> kSizeUnits{{{"GiB", 1ULL << 30},
                                          {"MiB", 1ULL << 20},
                                          {"KiB", 1ULL << 10},
                                          {"GB", 1'000'000'000},
                                          {"MB", 1'000'000},
                                          {"KB", 1'000},
                                          {"kB", 1'000},
                                          {"B", 1}}};
// Largest first, so that the first that divides a duration is the shortest way to write it.
constexpr std::array<Unit, 7> kDurationUnits{{{"d", 86'400'000'000'000},
                                              {"h", 3'600'000'000'000},
                                              {"m", 60'000'000'000},
                                              {"s", 1'000'000'000},
                                              {"ms", 1'000'000},
                                              {"us", 1'000},
                                              {"ns", 1}}};

template <class T>
Result<T> parse_whole(std::string_view text, const char* expected) {
  T value{};
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || end != text.data() + text.size()) return fail(ErrorCode::kInvalid, expected);
  return value;
}

// Digits with at most one point among them, times `factor`, exactly. Empty text, signs and leftovers are
// faults. Fractions finer than 1 are refused, so that "0.5B" isn't silently nothing.
bool scale_decimal(std::string_view digits, std::uint64_t factor, std::uint64_t& scaled) {
  const std::size_t point = digits.find('.');
  const std::string_view whole = digits.substr(0, point);
  const std::string_view fraction =
      point == std::string_view::npos ? std::string_view() : digits.substr(point + 1);
  if (whole.empty() || (point != std::string_view::npos && fraction.empty()) || fraction.size() > 9)
    return false;
  const auto whole_value = parse_whole<std::uint64_t>(whole, "");
  if (!whole_value) return false;
  if (__builtin_mul_overflow(*whole_value, factor, &scaled)) return false;
  if (fraction.empty()) return true;
  const auto fraction_value = parse_whole<std::uint64_t>(fraction, "");
  if (!fraction_value) return false;
  std::uint64_t divisor = 1;
  for (std::size_t i = 0; i < fraction.size(); ++i) divisor *= 10;
  const unsigned __int128 product = static_cast<unsigned __int128>(*fraction_value) * factor;
  if (product % divisor != 0) return false;
  return !__builtin_add_overflow(scaled, static_cast<std::uint64_t>(product / divisor), &scaled);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace

Result<bool> parse_bool(std::string_view text) {
  for (const std::string_view word : {"true", "yes", "on", "1"}) {
    if (text == word) return true;
  }
  for (const std::string_view word : {"false", "no", "off", "0"}) {
    if (text == word) return false;
  }
  return fail(ErrorCode::kInvalid, "must be true or false");
}

Result<std::int64_t> parse_integer(std::string_view text) {
  return parse_whole<std::int64_t>(text, "must be a whole number");
}

Result<std::uint64_t> parse_unsigned(std::string_view text) {
  return parse_whole<std::uint64_t>(text, "must be a whole number, not negative");
}

Result<double> parse_number(std::string_view text) {
  SLUICE_ASSIGN(const double value, parse_whole<double>(text, "must be a number"));
  if (!std::isfinite(value)) return fail(ErrorCode::kInvalid, "must be a finite number");
  return value;
}

Result<ByteSize> parse_size(std::string_view text) {
  std::uint64_t factor = 1;
  for (const Unit& unit : kSizeUnits) {
    if (text.ends_with(unit.name)) {
      factor = unit.factor;
      text = trimmed(text.substr(0, text.size() - unit.name.size()));
      break;
    }
  }
  ByteSize size;
  if (!scale_decimal(text, factor, size.bytes)) {
    return fail(ErrorCode::kInvalid, "must be a size like 65536, 16KiB or 8MB");
  }
  return size;
}

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  if (text == "0") return std::chrono::nanoseconds(0);
  const std::size_t digits_end = text.find_first_not_of("0123456789.");
  if (digits_end != std::string_view::npos) {
    const std::string_view name = trimmed(text.substr(digits_end));
    for (const Unit& unit : kDurationUnits) {
      std::uint64_t nanos = 0;
      if (unit.name != name) continue;
      if (!scale_decimal(text.substr(0, digits_end), unit.factor, nanos)) break;
      if (nanos > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) break;
      return std::chrono::nanoseconds(static_cast<std::int64_t>(nanos));
    }
  }
  return fail(ErrorCode::kInvalid, "must be a duration like 250ms, 15s or 1h (ns, us, ms, s, m, h, d)");
}

Result<std::vector<std::string>> parse_list(std::string_view text) {
  std::vector<std::string> items;
  if (trimmed(text).empty()) return items;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t comma = std::min(text.find(',', start), text.size());
    const std::string_view item = trimmed(text.substr(start, comma - start));
    if (item.empty()) return fail(ErrorCode::kInvalid, "must be a list like a,b,c without empty items");
    items.emplace_back(item);
    start = comma + 1;
  }
  return items;
}

std::string format_size(ByteSize size) {
  for (const Unit& unit : kSizeUnits) {
    if (size.bytes >= unit.factor && size.bytes % unit.factor == 0 && unit.factor > 1) {
      return std::to_string(size.bytes / unit.factor) + std::string(unit.name);
    }
  }
  return std::to_string(size.bytes);
}

std::string format_duration(std::chrono::nanoseconds duration) {
  const auto nanos = static_cast<std::uint64_t>(duration.count());
  if (nanos == 0) return "0s";
  for (const Unit& unit : kDurationUnits) {
    if (nanos % unit.factor == 0) return std::to_string(nanos / unit.factor) + std::string(unit.name);
  }
  return std::to_string(nanos) + "ns";
}

std::string format_number(double number) {
  std::array<char, 32> text{};
  const auto [end, fault] = std::to_chars(text.data(), text.data() + text.size(), number);
  return std::string(text.data(), end);
}

}  // namespace sluice::config
