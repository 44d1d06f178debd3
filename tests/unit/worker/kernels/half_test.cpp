#include "worker/kernels/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace sluice::kernels {
namespace {

// What the format's definition says, in double precision.
double half_value(std::uint16_t half) {
  const int exponent = (half >> 10) & 31;
  const int mantissa = half & 1023;
  const double sign = (half & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == 31) return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(Half, EveryHalfReadsAsItsDefinitionSays) {
  for (int h = 0; h < 65536; ++h) {
    const double expected = half_value(static_cast<std::uint16_t>(h));
    const float got = half_to_float(static_cast<std::uint16_t>(h));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(got)) << h;
    } else {
      EXPECT_EQ(static_cast<double>(got), expected) << h;
      EXPECT_EQ(std::signbit(got), std::signbit(expected)) << h;
    }
  }
}

TEST(Half, EveryHalfComesBackFromFloat) {
  for (int h = 0; h < 65536; ++h) {
    const std::uint16_t half = static_cast<std::uint16_t>(h);
    const float value = half_to_float(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(half_to_float(float_to_half(value))));
    } else {
      EXPECT_EQ(float_to_half(value), half) << h;
    }
  }
}

TEST(Half, FloatsBetweenTwoHalvesGoToTheNearerAndTiesToTheEven) {
  for (int h = 0; h < 0x7BFF; ++h) {
    const std::uint16_t low = static_cast<std::uint16_t>(h);
    const std::uint16_t high = static_cast<std::uint16_t>(h + 1);
    const float middle = static_cast<float>((half_value(low) + half_value(high)) / 2);
    EXPECT_EQ(float_to_half(middle), (h & 1) != 0 ? high : low) << h;
    EXPECT_EQ(float_to_half(std::nextafterf(middle, 0.0F)), low) << h;
    EXPECT_EQ(float_to_half(std::nextafterf(middle, 1e9F)), high) << h;
  }
}

TEST(Half, TooLargeBecomesInfinity) {
  EXPECT_EQ(float_to_half(65519.996F), 0x7BFF);
  EXPECT_EQ(float_to_half(65520.0F), 0x7C00);
  EXPECT_EQ(float_to_half(-1e30F), 0xFC00);
  EXPECT_EQ(float_to_half(std::numeric_limits<float>::infinity()), 0x7C00);
}

}  // namespace
}  // namespace sluice::kernels
