// How values are written for people. Text that others chose (error messages, names, model ids) may hold
// anything, escape sequences for the terminal among it: everything printed passes through safe_text.
//
// Pure functions; lengths are columns of a terminal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/text/unicode.h"

namespace sluice::operate {

// Columns that a safe text (common/text/unicode.h) takes: wide characters count twice, combining ones not at
// all.
int text_width(std::string_view safe);

// At most `columns` wide; what was cut off is shown by an ellipsis. `safe` came from safe_text.
std::string cut_text(std::string_view safe, int columns);

// "12,345"
std::string count_text(std::int64_t count);

// "1 job", "2 jobs"
std::string counted(std::int64_t count, std::string_view one, std::string_view many);

// The two largest units: "0s", "42s", "4m 10s", "3h", "5d 4h". Below zero counts as zero.
std::string duration_text(std::int64_t seconds);

// "2026-11-22 07:20:01Z"; seconds since 1970.
std::string time_text(std::int64_t unix_seconds);

// "90s", "15m", "2h", "3d" or plain seconds, as seconds. kInvalid says what is expected.
Result<std::int64_t> parse_duration(std::string_view text);

// A point in time as Unix seconds: how long ago ("2h"), a UTC date or time ("2026-11-22",
// "2026-11-22T07:20", "2026-11-22 07:20:01Z"), or "@" and Unix seconds. kInvalid says what is expected.
Result<std::int64_t> parse_time(std::string_view text, std::int64_t now_s);

}  // namespace sluice::operate
