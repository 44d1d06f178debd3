#include <gtest/gtest.h>

#include <cmath>

#include "worker/ops/norm.h"
#include "worker/ops/rope.h"

namespace sluice::ops {
namespace {

TEST(RmsNorm, DividesByTheRootOfTheMeanSquareAndScales) {
  ThreadPool pool(1);
  const Context context{*kernels::kernel_sets().front(), pool};
  const std::vector<float> x = {1.0F, 2.0F, 2.0F, 4.0F, 0.0F, 0.0F, 0.0F, 0.0F};
  const std::vector<float> weight = {1.0F, 0.5F, -1.0F, 2.0F};
  std::vector<float> y(8);
  rms_norm(context, x.data(), 2, 4, weight.data(), 1e-6F, y.data());
  const double root = std::sqrt(25.0 / 4.0 + 1e-6);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(y[i], x[i] / root * weight[i], 1e-6);
  for (std::size_t i = 4; i < 8; ++i) EXPECT_EQ(y[i], 0.0F);
}

std::vector<float> rotated(const Rope& rope, std::vector<float> x, std::size_t heads, std::size_t position) {
  std::vector<float> angles(rope.angle_floats());
  rope.angles(position, angles.data());
  rope.rotate(angles.data(), x.data(), heads, x.size() / heads);
  return x;
}

TEST(Rope, HalvesTurnEachNumberWithItsPartnerInTheOtherHalf) {
  const Rope rope({.style = RopeStyle::kHalves, .dims = 4, .base = 100.0});
  const std::vector<float> y = rotated(rope, {1.0F, 2.0F, 3.0F, 4.0F, 0.0F, 1.0F, 0.0F, 0.0F}, 2, 7);
  // Frequencies 1 and 100^(-1/2) = 0.1.
  EXPECT_NEAR(y[0], std::cos(7.0) - 3 * std::sin(7.0), 1e-6);
  EXPECT_NEAR(y[2], std::sin(7.0) + 3 * std::cos(7.0), 1e-6);
  EXPECT_NEAR(y[1], 2 * std::cos(0.7) - 4 * std::sin(0.7), 1e-6);
  EXPECT_NEAR(y[3], 2 * std::sin(0.7) + 4 * std::cos(0.7), 1e-6);
  EXPECT_NEAR(y[5], std::cos(0.7), 1e-6);
  EXPECT_NEAR(y[7], std::sin(0.7), 1e-6);
}

TEST(Rope, PairsTurnNeighbours) {
  const Rope rope({.style = RopeStyle::kPairs, .dims = 4, .base = 100.0});
  const std::vector<float> y = rotated(rope, {1.0F, 2.0F, 3.0F, 4.0F}, 1, 7);
  EXPECT_NEAR(y[0], std::cos(7.0) - 2 * std::sin(7.0), 1e-6);
  EXPECT_NEAR(y[1], std::sin(7.0) + 2 * std::cos(7.0), 1e-6);
  EXPECT_NEAR(y[2], 3 * std::cos(0.7) - 4 * std::sin(0.7), 1e-6);
  EXPECT_NEAR(y[3], 3 * std::sin(0.7) + 4 * std::cos(0.7), 1e-6);
}

TEST(Rope, NumbersBeyondTheTurnedOnesStay) {
  for (const RopeStyle style : {RopeStyle::kHalves, RopeStyle::kPairs}) {
    const Rope rope({.style = style, .dims = 2});
    const std::vector<float> y = rotated(rope, {1.0F, 2.0F, 3.0F, 4.0F}, 1, 5);
    EXPECT_NE(y[0], 1.0F);
    EXPECT_EQ(y[2], 3.0F);
    EXPECT_EQ(y[3], 4.0F);
  }
}

TEST(Rope, ScalingAndDivisorsSlowTheAngles) {
  const std::vector<float> x = {1.0F, 2.0F, 3.0F, 4.0F};
  const Rope plain({.dims = 4});
  const Rope quarter({.dims = 4, .position_scale = 0.25});
  EXPECT_EQ(rotated(quarter, x, 1, 40), rotated(plain, x, 1, 10));
  const Rope divided({.dims = 4, .frequency_divisors = {4.0F, 1.0F}});
  EXPECT_EQ(rotated(divided, x, 1, 40)[0], rotated(plain, x, 1, 10)[0]);
  EXPECT_EQ(rotated(divided, x, 1, 40)[1], rotated(plain, x, 1, 40)[1]);
}

}  // namespace
}  // namespace sluice::ops
