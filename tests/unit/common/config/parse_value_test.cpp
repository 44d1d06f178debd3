#include "common/config/parse_value.h"

#include <gtest/gtest.h>

namespace sluice::config {
namespace {

using namespace std::chrono_literals;

TEST(ParseInteger, TakesTheWholeTextOrNothing) {
  EXPECT_EQ(parse_integer("-9223372036854775808").value(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(parse_unsigned("18446744073709551615").value(), std::numeric_limits<std::uint64_t>::max());
  for (const char* bad : {"", " 1", "1 ", "+1", "1x", "0x10", "1.0", "9223372036854775808", "--1"}) {
    EXPECT_FALSE(parse_integer(bad)) << bad;
  }
  for (const char* bad : {"-1", "-0", "18446744073709551616", "1e3"})
    EXPECT_FALSE(parse_unsigned(bad)) << bad;
}

TEST(ParseNumber, RefusesWhatIsNotFinite) {
  EXPECT_DOUBLE_EQ(parse_number("-0.25").value(), -0.25);
  EXPECT_DOUBLE_EQ(parse_number("1e-3").value(), 1e-3);
  for (const char* bad : {"inf", "nan", "-inf", "1e999", "", "1,5", "0.5 "}) {
    EXPECT_FALSE(parse_number(bad)) << bad;
  }
}

TEST(ParseBool, KnowsEightWords) {
  for (const char* yes : {"true", "yes", "on", "1"}) EXPECT_TRUE(parse_bool(yes).value()) << yes;
  for (const char* no : {"false", "no", "off", "0"}) EXPECT_FALSE(parse_bool(no).value()) << no;
  for (const char* bad : {"", "True", "2", "y"}) EXPECT_FALSE(parse_bool(bad)) << bad;
}

TEST(ParseSize, KnowsDecimalAndBinaryUnits) {
  EXPECT_EQ(parse_size("65536").value().bytes, 65536u);
  EXPECT_EQ(parse_size("16KiB").value().bytes, 16384u);
  EXPECT_EQ(parse_size("8MB").value().bytes, 8'000'000u);
  EXPECT_EQ(parse_size("1.5 GiB").value().bytes, 1610612736u);
  EXPECT_EQ(parse_size("12B").value().bytes, 12u);
  for (const char* bad : {"", "KiB", "-1", "1KB2", "1.KiB", "0.5B", "1.0000001KB", "18446744073709551616",
                          "99999999999GiB", "1 T", ".5KB"}) {
    EXPECT_FALSE(parse_size(bad)) << bad;
  }
}

TEST(ParseSize, RoundTripsThroughItsText) {
  for (const std::uint64_t bytes :
       {0ULL, 1ULL, 999ULL, 1000ULL, 1024ULL, 16384ULL, 8'000'000ULL, 3ULL << 30, ~0ULL}) {
    EXPECT_EQ(parse_size(format_size({bytes})).value().bytes, bytes) << format_size({bytes});
  }
  EXPECT_EQ(format_size({8'000'000}), "8MB");
  EXPECT_EQ(format_size({16384}), "16KiB");
}

TEST(ParseDuration, NeedsAUnitAndIsExact) {
  EXPECT_EQ(parse_duration("250ms").value(), 250ms);
  EXPECT_EQ(parse_duration("15s").value(), 15s);
  EXPECT_EQ(parse_duration("1.5h").value(), 90min);
  EXPECT_EQ(parse_duration("2d").value(), 48h);
  EXPECT_EQ(parse_duration("0").value(), 0s);
  for (const char* bad : {"", "15", "s", "-1s", "1sec", "1 2s", "1.5ns", "300000d", "1.2.3s", "0x1s"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
}

TEST(ParseDuration, RoundTripsThroughItsText) {
  for (const std::chrono::nanoseconds duration :
       {std::chrono::nanoseconds(0s), std::chrono::nanoseconds(1ns), std::chrono::nanoseconds(1500ms),
        std::chrono::nanoseconds(36h)}) {
    EXPECT_EQ(parse_duration(format_duration(duration)).value(), duration) << format_duration(duration);
  }
  EXPECT_EQ(format_duration(90s), "90s");
  EXPECT_EQ(format_duration(120s), "2m");
}

TEST(ParseList, DropsSpacesAndRefusesEmptyItems) {
  EXPECT_EQ(parse_list(" a, b c ,d").value(), (std::vector<std::string>{"a", "b c", "d"}));
  EXPECT_TRUE(parse_list("").value().empty());
  EXPECT_TRUE(parse_list("  ").value().empty());
  for (const char* bad : {"a,", ",a", "a,,b", ","}) EXPECT_FALSE(parse_list(bad)) << bad;
}

}  // namespace
}  // namespace sluice::config
