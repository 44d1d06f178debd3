// Turns the text of a setting into its value, and back. Strict: the whole text must be used, nothing wraps
// around, nothing is guessed. The errors say what was expected and never repeat the text (it may be a
// secret).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace sluice::config {

// Bytes. Written as "65536", "16KiB", "8MB" (KB, MB, GB are powers of 1000; KiB, MiB, GiB of 1024).
struct ByteSize {
  std::uint64_t bytes = 0;
  auto operator<=>(const ByteSize&) const = default;
};

Result<bool> parse_bool(std::string_view text);  // true/false, yes/no, on/off, 1/0
Result<std::int64_t> parse_integer(std::string_view text);
Result<std::uint64_t> parse_unsigned(std::string_view text);
Result<double> parse_number(std::string_view text);  // Finite.
Result<ByteSize> parse_size(std::string_view text);  // Not negative.
Result<std::chrono::nanoseconds> parse_duration(
    std::string_view text);  // "250ms", "15s", "1.5h"; "0" needs no unit.
// Items parted by commas, spaces around them dropped; an empty text is an empty list, an empty item a fault.
Result<std::vector<std::string>> parse_list(std::string_view text);

std::string format_size(ByteSize size);
std::string format_duration(std::chrono::nanoseconds duration);
std::string format_number(double number);

}  // namespace sluice::config
