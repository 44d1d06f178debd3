#include "worker/kernels/q8_0.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "worker/kernels/half.h"

namespace sluice::kernels {
namespace {

TEST(Q8_0, AKnownBlockComesOutByteForByte) {
  float from[kQ8Values] = {};
  from[0] = 127.0F;
  from[1] = -127.0F;
  from[2] = 0.5F;   // A tie goes away from zero,
  from[3] = -2.5F;  // on both sides.
  from[4] = 1.49F;
  BlockQ8_0 block;
  quantize_q8_0(from, kQ8Values, &block);
  EXPECT_EQ(block.scale, 0x3C00);  // 1.0
  EXPECT_EQ(block.values[0], 127);
  EXPECT_EQ(block.values[1], -127);
  EXPECT_EQ(block.values[2], 1);
  EXPECT_EQ(block.values[3], -3);
  EXPECT_EQ(block.values[4], 1);
  EXPECT_EQ(block.values[5], 0);
}

TEST(Q8_0, EachNumberIsWithinHalfAStepAndTheScalesRounding) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0.0F, 3.0F);
  std::vector<float> from(64 * kQ8Values);
  for (float& value : from) value = normal(random);
  std::vector<BlockQ8_0> blocks(64);
  std::vector<float> back(from.size());
  quantize_q8_0(from.data(), from.size(), blocks.data());
  dequantize_q8_0(blocks.data(), back.size(), back.data());
  for (std::size_t i = 0; i < from.size(); ++i) {
    const float scale = half_to_float(blocks[i / kQ8Values].scale);
    // Half a step, and the half-precision scale is off by up to 2^-11 of the number.
    EXPECT_LE(std::fabs(back[i] - from[i]), 0.5F * scale * 1.001F + std::fabs(from[i]) * 0x1p-11F) << i;
  }
}

TEST(Q8_0, ZerosAndNumbersTooSmallForAScaleGiveZeros) {
  float from[2 * kQ8Values] = {};
  for (std::size_t i = 0; i < kQ8Values; ++i) from[kQ8Values + i] = 1e-44F;
  BlockQ8_0 blocks[2];
  float back[2 * kQ8Values];
  quantize_q8_0(from, 2 * kQ8Values, blocks);
  dequantize_q8_0(blocks, 2 * kQ8Values, back);
  for (float value : back) EXPECT_EQ(value, 0.0F);
}

}  // namespace
}  // namespace sluice::kernels
