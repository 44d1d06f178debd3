#include "worker/kernels/formats/format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "worker/kernels/formats/bf16.h"
#include "worker/kernels/formats/blocks.h"
#include "worker/kernels/half.h"

namespace sluice::kernels {
namespace {

constexpr std::uint16_t kHalfOne = 0x3C00;
constexpr std::uint16_t kHalfTwo = 0x4000;

const Format& format_of(GgmlType type) {
  const Format* format = find_format(type);
  EXPECT_NE(format, nullptr);
  return *format;
}

template <class Block>
std::vector<float> numbers_in(GgmlType type, const Block& block) {
  std::vector<float> to(ggml_type_traits(type).values);
  format_of(type).dequantize(reinterpret_cast<const std::byte*>(&block), to.size(), to.data());
  return to;
}

TEST(Formats, AreThoseOfTheFilesThatTheEngineReads) {
  EXPECT_EQ(format_names(), "F32, F16, BF16, Q8_0, Q6_K, Q5_1, Q5_K, Q5_0, Q4_1, Q4_K, Q4_0, Q3_K, Q2_K");
  EXPECT_EQ(find_format(GgmlType::kQ8_1), nullptr);
  EXPECT_EQ(find_format(GgmlType::kIQ4_NL), nullptr);
  EXPECT_EQ(find_format(GgmlType::kI32), nullptr);
}

TEST(Formats, BlocksHaveTheSizesOfTheFileFormat) {
  const auto bytes = [](GgmlType type) { return static_cast<std::size_t>(ggml_type_traits(type).bytes); };
  EXPECT_EQ(sizeof(BlockQ4_0), bytes(GgmlType::kQ4_0));
  EXPECT_EQ(sizeof(BlockQ4_1), bytes(GgmlType::kQ4_1));
  EXPECT_EQ(sizeof(BlockQ5_0), bytes(GgmlType::kQ5_0));
  EXPECT_EQ(sizeof(BlockQ5_1), bytes(GgmlType::kQ5_1));
  EXPECT_EQ(sizeof(BlockQ2_K), bytes(GgmlType::kQ2_K));
  EXPECT_EQ(sizeof(BlockQ3_K), bytes(GgmlType::kQ3_K));
  EXPECT_EQ(sizeof(BlockQ4_K), bytes(GgmlType::kQ4_K));
  EXPECT_EQ(sizeof(BlockQ5_K), bytes(GgmlType::kQ5_K));
  EXPECT_EQ(sizeof(BlockQ6_K), bytes(GgmlType::kQ6_K));
}

TEST(Formats, KnownBlockOfQ4_0) {
  BlockQ4_0 block = {kHalfTwo, {}};
  block.codes[0] = 0xF0;   // Codes 0 and 15: numbers 0 and 16.
  block.codes[15] = 0x98;  // Codes 8 and 9: numbers 15 and 31.
  const std::vector<float> x = numbers_in(GgmlType::kQ4_0, block);
  EXPECT_EQ(x[0], -16.0F);
  EXPECT_EQ(x[16], 14.0F);
  EXPECT_EQ(x[15], 0.0F);
  EXPECT_EQ(x[31], 2.0F);
  EXPECT_EQ(x[1], -16.0F);
}

TEST(Formats, KnownBlockOfQ4_1) {
  BlockQ4_1 block = {kHalfTwo, kHalfOne, {}};
  block.codes[3] = 0x2F;
  const std::vector<float> x = numbers_in(GgmlType::kQ4_1, block);
  EXPECT_EQ(x[3], 31.0F);
  EXPECT_EQ(x[19], 5.0F);
  EXPECT_EQ(x[0], 1.0F);
}

TEST(Formats, KnownBlockOfQ5_0) {
  BlockQ5_0 block = {kHalfTwo, {}, {}};
  block.codes[1] = 0x3A;  // Low bits 10 of number 1, 3 of number 17.
  block.high[0] = 0x02;   // Bit 4 of number 1.
  block.high[2] = 0x02;   // Bit 4 of number 17.
  const std::vector<float> x = numbers_in(GgmlType::kQ5_0, block);
  EXPECT_EQ(x[1], 2.0F * (26 - 16));
  EXPECT_EQ(x[17], 2.0F * (19 - 16));
  EXPECT_EQ(x[0], -32.0F);
}

TEST(Formats, KnownBlockOfQ5_1) {
  BlockQ5_1 block = {kHalfTwo, kHalfOne, {}, {}};
  block.codes[8] = 0x1F;
  block.high[1] = 0x01;  // Bit 4 of number 8.
  block.high[3] = 0x80;  // Bit 4 of number 31.
  const std::vector<float> x = numbers_in(GgmlType::kQ5_1, block);
  EXPECT_EQ(x[8], 63.0F);
  EXPECT_EQ(x[24], 3.0F);
  EXPECT_EQ(x[31], 33.0F);
  EXPECT_EQ(x[0], 1.0F);
}

TEST(Formats, KnownBlockOfQ2_K) {
  BlockQ2_K block = {};
  block.scale = kHalfTwo;
  block.min = kHalfOne;
  block.scales[0] = 0x31;       // Numbers 0 to 15: 2 · code - 3.
  block.scales[3] = 0x05;       // Numbers 48 to 63: 10 · code.
  block.scales[15] = 0xF2;      // Numbers 240 to 255: 4 · code - 15.
  block.codes[1] = 0x02;        // Number 1, at bits 0 and 1.
  block.codes[16] = 0x03 << 2;  // Number 48: 32 + 16, at bits 2 and 3.
  block.codes[32 + 31] = 0xC0;  // Number 255: 128 + 96 + 31, at bits 6 and 7.
  const std::vector<float> x = numbers_in(GgmlType::kQ2_K, block);
  EXPECT_EQ(x[0], -3.0F);
  EXPECT_EQ(x[1], 1.0F);
  EXPECT_EQ(x[48], 30.0F);
  EXPECT_EQ(x[255], -3.0F);
  EXPECT_EQ(x[254], -15.0F);
  EXPECT_EQ(x[100], 0.0F);
}

TEST(Formats, KnownBlockOfQ3_K) {
  BlockQ3_K block = {};
  block.scale = kHalfTwo;
  // Group 0: 33 = 1 + 2 · 16, group 9: 47 = 15 + 2 · 16, group 15: 63 = 15 + 3 · 16. The others stay 0: -32.
  block.scales[0] = 0x01;
  block.scales[1] = 0xF0;
  block.scales[7] = 0xF0;
  block.scales[8] = 0x02;                                   // High bits of groups 0, 4, 8, 12.
  block.scales[9] = 0x02 << 4;                              // Of groups 1, 5, 9, 13.
  block.scales[11] = static_cast<std::uint8_t>(0x03 << 6);  // Of groups 3, 7, 11, 15.
  block.codes[2] = 0x03;                                    // Number 2, low bits 3,
  block.high[2] = 0x01;                                     // high bit: code 7.
  block.codes[32 + 17] = 0x01;                              // Number 145, group 9: low bits 1, no high bit.
  block.codes[63] = 0x80;                                   // Number 255, group 15: low bits 2,
  block.high[31] = 0x80;                                    // high bit: code 6.
  const std::vector<float> x = numbers_in(GgmlType::kQ3_K, block);
  EXPECT_EQ(x[2], 2.0F * 1 * 3);
  EXPECT_EQ(x[0], 2.0F * 1 * -4);
  EXPECT_EQ(x[145], 2.0F * 15 * -3);
  EXPECT_EQ(x[255], 2.0F * 31 * 2);
  EXPECT_EQ(x[16], 2.0F * -32 * -4);
}

TEST(Formats, KnownBlockOfQ4_K) {
  BlockQ4_K block = {};
  block.scale = kHalfTwo;
  block.min = kHalfOne;
  // Group 1: scale 5, min 7. Group 6: scale 45 = 13 + 2 · 16, min 59 = 11 + 3 · 16.
  block.scales[1] = 5;
  block.scales[5] = 7;
  block.scales[10] = 0xBD;
  block.scales[2] = 2 << 6;
  block.scales[6] = 3 << 6;
  block.codes[4] = 0x90;            // Number 36 is code 9 of group 1, number 4 code 0 of group 0.
  block.codes[32 * 3 + 31] = 0x0E;  // Number 223 is code 14 of group 6.
  const std::vector<float> x = numbers_in(GgmlType::kQ4_K, block);
  EXPECT_EQ(x[36], 2.0F * 5 * 9 - 7);
  EXPECT_EQ(x[35], -7.0F);
  EXPECT_EQ(x[223], 2.0F * 45 * 14 - 59);
  EXPECT_EQ(x[4], 0.0F);
}

TEST(Formats, KnownBlockOfQ5_K) {
  BlockQ5_K block = {};
  block.scale = kHalfTwo;
  block.min = kHalfOne;
  block.scales[1] = 5;
  block.scales[5] = 7;
  block.codes[4] = 0x90;  // Number 36: low bits 9,
  block.high[4] = 0x02;   // bit 4.
  const std::vector<float> x = numbers_in(GgmlType::kQ5_K, block);
  EXPECT_EQ(x[36], 2.0F * 5 * 25 - 7);
  EXPECT_EQ(x[4], 0.0F);
  EXPECT_EQ(x[40], -7.0F);
}

TEST(Formats, KnownBlockOfQ6_K) {
  BlockQ6_K block = {};
  block.scale = kHalfTwo;
  std::fill_n(block.scales, 16, std::int8_t{1});
  block.scales[2] = -3;         // Numbers 32 to 47.
  block.scales[15] = 127;       // Numbers 240 to 255.
  block.codes[32] = 0x0B;       // Number 32: low bits 11,
  block.high[0] = 0x02 << 2;    // high bits 2: code 43.
  block.codes[64 + 63] = 0xC0;  // Number 255: 128 + 64 + 63, low bits 12,
  block.high[32 + 31] = 0xC0;   // high bits 3: code 60.
  const std::vector<float> x = numbers_in(GgmlType::kQ6_K, block);
  EXPECT_EQ(x[32], 2.0F * -3 * 11);
  EXPECT_EQ(x[255], 2.0F * 127 * 28);
  EXPECT_EQ(x[0], 2.0F * -32);
}

TEST(Formats, Bf16RoundsToNearestAndTiesToEven) {
  EXPECT_EQ(float_to_bf16(1.0F), 0x3F80);
  EXPECT_EQ(float_to_bf16(-2.0F), 0xC000);
  EXPECT_EQ(float_to_bf16(float_of_bits(0x3F808000)), 0x3F80);  // A tie, the lower is even.
  EXPECT_EQ(float_to_bf16(float_of_bits(0x3F818000)), 0x3F82);  // A tie, the upper is even.
  EXPECT_EQ(float_to_bf16(float_of_bits(0x3F808001)), 0x3F81);
  EXPECT_EQ(float_to_bf16(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(float_of_bits(0x7F800001)))));
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = bf16_to_float(static_cast<std::uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(float_to_bf16(value), bits);
  }
}

TEST(Formats, PackedGroupScalesComeBack) {
  std::mt19937 random(1);
  for (int round = 0; round < 100; ++round) {
    std::uint8_t scales[16];
    std::uint8_t mins[8];
    for (std::uint8_t& scale : scales) scale = static_cast<std::uint8_t>(random() % 64);
    for (std::uint8_t& min : mins) min = static_cast<std::uint8_t>(random() % 64);
    std::uint8_t packed[12];
    std::uint8_t scales_back[16];
    std::uint8_t mins_back[8];
    pack_group_scales(scales, mins, packed);
    unpack_group_scales(packed, scales_back, mins_back);
    EXPECT_TRUE(std::equal(scales, scales + 8, scales_back));
    EXPECT_TRUE(std::equal(mins, mins + 8, mins_back));
    pack_q3_k_scales(scales, packed);
    unpack_q3_k_scales(packed, scales_back);
    EXPECT_TRUE(std::equal(scales, scales + 16, scales_back));
  }
}

// Inputs of many shapes, 2048 numbers each.
std::vector<std::vector<float>> inputs() {
  std::vector<std::vector<float>> all;
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0.0F, 1.0F);
  const auto add = [&](const std::function<float(std::size_t)>& value) {
    std::vector<float> x(2048);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = value(i);
    all.push_back(x);
  };
  add([&](std::size_t) { return normal(random); });
  add([&](std::size_t) { return 0.02F * normal(random); });
  add([&](std::size_t) { return 3.0F + normal(random); });          // All on one side,
  add([&](std::size_t) { return -3.0F + 0.1F * normal(random); });  // and the other.
  add([&](std::size_t i) { return (i % 97 == 0 ? 40.0F : 1.0F) * normal(random); });
  add([&](std::size_t i) { return std::exp(static_cast<float>(i % 256) / 30.0F) * normal(random); });
  add([&](std::size_t) { return static_cast<float>(random() % 2000) / 1000.0F - 1.0F; });
  add([](std::size_t) { return 0.25F; });
  add([](std::size_t i) { return i % 300 == 0 ? -1.0F : 0.0F; });
  return all;
}

// The root of the mean squared error of a block is at most this. Of all scales that the search tries, one
// covers the whole range of a group without cutting (the largest magnitude is at most 0.1 codes beyond the
// last), which is off by half a step at most for every number; the others are only taken if they are better.
// On top come the rounding of the scales to halves, and in super-blocks to integers: the search knows
// neighbours of the nearest integer, so a scale is off by at most half a step of the largest one, times the
// largest code.
double bound(GgmlType type, const float* x) {
  const std::size_t values = ggml_type_traits(type).values;
  const auto largest = [&](std::size_t group, const std::function<double(double, double)>& of) {
    double most = 0.0;
    for (std::size_t from = 0; from < values; from += group) {
      const auto [low, high] = std::minmax_element(x + from, x + from + group);
      most = std::max(most, of(*low, *high));
    }
    return most;
  };
  const double magnitude =
      largest(values, [](double low, double high) { return std::max(std::fabs(low), std::fabs(high)); });
  const double halves = magnitude * 0x1p-10 + 0x1p-20;
  const auto width = [](double low, double high) { return high - low; };
  // In the K formats with minima zero is always in the range.
  const auto width_with_zero = [](double low, double high) {
    return std::max(high, 0.0) - std::min(low, 0.0);
  };
  const auto with_mins = [&](std::size_t group, double most, double group_most) {
    const double step = largest(group, width_with_zero) / most;
    const double min = largest(group, [](double low, double) { return std::max(0.0, -low); });
    return 0.5 * step + 1.2 * (most * step + min + step) / (2.0 * group_most) + halves;
  };
  const auto symmetric = [&](double most) { return magnitude / (2.0 * (most - 0.1)) + halves; };
  switch (type) {
    case GgmlType::kF32:
      return 0.0;
    case GgmlType::kF16:
      return magnitude * 0x1p-11 + 0x1p-25;  // Below 2^-14 the steps are 2^-24.
    case GgmlType::kBF16:
      return magnitude * 0x1p-8;
    case GgmlType::kQ8_0:
      return magnitude / 254.0 + halves;
    case GgmlType::kQ5_0:
      return symmetric(15.0);
    case GgmlType::kQ4_0:
      return symmetric(7.0);
    case GgmlType::kQ5_1:
      return largest(values, width) / 62.0 + halves;
    case GgmlType::kQ4_1:
      return largest(values, width) / 30.0 + halves;
    case GgmlType::kQ6_K:
      return symmetric(31.0) + 1.2 * magnitude / 31.0 * 32.0 / 256.0;
    case GgmlType::kQ3_K:
      return symmetric(3.0) + 1.2 * magnitude / 3.0 * 4.0 / 64.0;
    case GgmlType::kQ5_K:
      return with_mins(32, 31.0, 63.0);
    case GgmlType::kQ4_K:
      return with_mins(32, 15.0, 63.0);
    case GgmlType::kQ2_K:
      return with_mins(16, 3.0, 15.0);
    default:
      ADD_FAILURE();
      return 0.0;
  }
}

class EachFormat : public testing::TestWithParam<GgmlType> {
 protected:
  const Format& format_ = format_of(GetParam());
  const GgmlTypeTraits& traits_ = ggml_type_traits(GetParam());

  std::vector<std::byte> encode(const std::vector<float>& x, const float* importance = nullptr) const {
    std::vector<std::byte> bytes(ggml_row_bytes(GetParam(), x.size()));
    format_.quantize(x.data(), x.size(), importance, bytes.data());
    return bytes;
  }
  std::vector<float> decode(const std::vector<std::byte>& bytes, std::size_t values) const {
    std::vector<float> x(values);
    format_.dequantize(bytes.data(), values, x.data());
    return x;
  }
};

TEST_P(EachFormat, LosesNoMoreThanItsStepsAllow) {
  int input = 0;
  for (const std::vector<float>& x : inputs()) {
    const std::vector<std::byte> bytes = encode(x);
    EXPECT_TRUE(format_.finite(bytes.data(), x.size()));
    const std::vector<float> back = decode(bytes, x.size());
    for (std::size_t from = 0; from < x.size(); from += traits_.values) {
      double error = 0.0;
      for (std::size_t i = from; i < from + traits_.values; ++i) {
        error += (x[i] - static_cast<double>(back[i])) * (x[i] - static_cast<double>(back[i]));
      }
      ASSERT_LE(std::sqrt(error / traits_.values), bound(GetParam(), &x[from])) << input << " " << from;
    }
    ++input;
  }
}

TEST_P(EachFormat, BlocksDoNotDependOnTheirNeighbours) {
  const std::vector<float> x = inputs().front();
  const std::vector<std::byte> together = encode(x);
  for (std::size_t from = 0; from < x.size(); from += 256) {
    const std::vector<std::byte> alone = encode(std::vector<float>(&x[from], &x[from] + 256));
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(),
                           together.begin() + static_cast<std::ptrdiff_t>(from / 256 * alone.size())));
  }
}

TEST_P(EachFormat, ZerosStayZeros) {
  const std::vector<float> x(256, 0.0F);
  for (const float value : decode(encode(x), 256)) EXPECT_EQ(value, 0.0F);
}

TEST_P(EachFormat, ExtremeNumbersGiveFiniteBlocks) {
  if (traits_.values == 1) return;
  for (const float size : {1e-44F, 1e-30F, 1e-7F, 6e4F, 1e8F, 1e19F, 1e30F, 3e38F}) {
    for (const std::vector<float>& input : inputs()) {
      std::vector<float> x = input;
      for (float& value : x) value = std::clamp(value, -1.0F, 1.0F) * size;
      const std::vector<std::byte> bytes = encode(x);
      ASSERT_TRUE(format_.finite(bytes.data(), x.size())) << size;
      for (const float value : decode(bytes, x.size())) ASSERT_TRUE(std::isfinite(value)) << size;
    }
  }
}

TEST_P(EachFormat, WhatIsMoreImportantLosesLess) {
  if (traits_.values == 1 || GetParam() == GgmlType::kQ8_0) return;  // These have nothing to choose.
  const std::vector<float> x = inputs().front();
  std::vector<float> importance(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) importance[i] = i % 4 == 0 ? 100.0F : 1.0F;
  const auto loss = [&](const std::vector<float>& back) {
    double sum = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      sum += static_cast<double>(importance[i]) * (x[i] - back[i]) * (x[i] - back[i]);
    }
    return sum;
  };
  EXPECT_LT(loss(decode(encode(x, importance.data()), x.size())), loss(decode(encode(x), x.size())));
  // All of no importance is as good as all alike.
  std::fill(importance.begin(), importance.end(), 0.0F);
  EXPECT_EQ(encode(x, importance.data()), encode(x));
}

TEST_P(EachFormat, RandomBytesNeverCrash) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::byte> bytes(ggml_row_bytes(GetParam(), 512));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    const bool finite = format_.finite(bytes.data(), 512);
    const std::vector<float> x = decode(bytes, 512);
    // Finite scales are at most 65504, codes and group scales below 2^14 together.
    if (finite && traits_.values > 1) {
      for (const float value : x) ASSERT_LT(std::fabs(value), 65504.0F * 2 * 16384.0F);
    }
  }
}

std::vector<GgmlType> all_types() {
  std::vector<GgmlType> types;
  for (const Format& format : formats()) types.push_back(format.type);
  return types;
}

INSTANTIATE_TEST_SUITE_P(Formats, EachFormat, testing::ValuesIn(all_types()),
                         [](const auto& info) { return std::string(ggml_type_name(info.param)); });

}  // namespace
}  // namespace sluice::kernels
