// Q4_0, Q4_1, Q5_0, Q5_1: blocks of 32 with a scale, and a minimum or none.
#include "worker/kernels/formats/families.h"
#include "worker/kernels/formats/search.h"
#include "worker/kernels/half.h"

namespace sluice::kernels {
namespace {

constexpr std::size_t kHalfBlock = kSmallBlock / 2;

// `codes` are 0 or more here, and `high` takes bit 4 where the format has one.
void pack(const std::int8_t codes[kSmallBlock], std::uint8_t low[kHalfBlock], std::uint8_t* high) {
  for (std::size_t i = 0; i < kHalfBlock; ++i) {
    low[i] = static_cast<std::uint8_t>((codes[i] & 15) | (codes[i + kHalfBlock] & 15) << 4);
  }
  if (high == nullptr) return;
  std::memset(high, 0, kSmallBlock / 8);
  for (std::size_t i = 0; i < kSmallBlock; ++i) {
    high[i / 8] = static_cast<std::uint8_t>(high[i / 8] | (codes[i] >> 4 & 1) << (i % 8));
  }
}

int code_at(const std::uint8_t low[kHalfBlock], const std::uint8_t* high, std::size_t i) {
  const int code = i < kHalfBlock ? low[i] & 15 : low[i - kHalfBlock] >> 4;
  return high == nullptr ? code : code | (high[i / 8] >> (i % 8) & 1) << 4;
}

// Q4_0 has no `high`.
std::uint8_t* high_of(BlockQ5_0& block) {
  return block.high;
}
std::uint8_t* high_of(BlockQ5_1& block) {
  return block.high;
}
template <class Block>
std::uint8_t* high_of(Block&) {
  return nullptr;
}

template <class Block, int kMiddle>
void quantize_around_middle(const float* from, std::size_t values, const float* importance, std::byte* to) {
  constexpr CodeRange kRange{-kMiddle, kMiddle - 1};
  for (std::size_t b = 0; b < values / kSmallBlock; ++b, from += kSmallBlock) {
    float weights[kSmallBlock];
    std::int8_t codes[kSmallBlock];
    error_weights(importance == nullptr ? nullptr : importance + b * kSmallBlock, kSmallBlock, weights);
    Block block;
    block.scale = scale_to_half(best_scale<kSmallBlock>(from, weights, kRange));
    round_to_codes<kSmallBlock>(from, weights, {half_to_float(block.scale), 0.0F}, kRange, codes);
    for (std::int8_t& code : codes) code = static_cast<std::int8_t>(code + kMiddle);
    pack(codes, block.codes, high_of(block));
    put_block(block, to, b);
  }
}

template <class Block, int kMiddle>
void dequantize_around_middle(const std::byte* from, std::size_t values, float* to) {
  for (std::size_t b = 0; b < values / kSmallBlock; ++b, to += kSmallBlock) {
    Block block = block_at<Block>(from, b);
    const float scale = half_to_float(block.scale);
    for (std::size_t i = 0; i < kSmallBlock; ++i) {
      to[i] = static_cast<float>(code_at(block.codes, high_of(block), i) - kMiddle) * scale;
    }
  }
}

template <class Block, int kMost>
void quantize_with_min(const float* from, std::size_t values, const float* importance, std::byte* to) {
  for (std::size_t b = 0; b < values / kSmallBlock; ++b, from += kSmallBlock) {
    float weights[kSmallBlock];
    std::int8_t codes[kSmallBlock];
    error_weights(importance == nullptr ? nullptr : importance + b * kSmallBlock, kSmallBlock, weights);
    const ScaleMin found = best_scale_min<kSmallBlock>(from, weights, kMost, false);
    Block block;
    block.scale = scale_to_half(found.scale);
    block.min = scale_to_half(-found.min);
    round_to_codes<kSmallBlock>(from, weights, {half_to_float(block.scale), -half_to_float(block.min)},
                                {0, kMost}, codes);
    pack(codes, block.codes, high_of(block));
    put_block(block, to, b);
  }
}

template <class Block>
void dequantize_with_min(const std::byte* from, std::size_t values, float* to) {
  for (std::size_t b = 0; b < values / kSmallBlock; ++b, to += kSmallBlock) {
    Block block = block_at<Block>(from, b);
    const float scale = half_to_float(block.scale);
    const float min = half_to_float(block.min);
    for (std::size_t i = 0; i < kSmallBlock; ++i) {
      to[i] = static_cast<float>(code_at(block.codes, high_of(block), i)) * scale + min;
    }
  }
}

}  // namespace

void quantize_q4_0(const float* from, std::size_t values, const float* importance, std::byte* to) {
  quantize_around_middle<BlockQ4_0, 8>(from, values, importance, to);
}
void quantize_q5_0(const float* from, std::size_t values, const float* importance, std::byte* to) {
  quantize_around_middle<BlockQ5_0, 16>(from, values, importance, to);
}
void quantize_q4_1(const float* from, std::size_t values, const float* importance, std::byte* to) {
  quantize_with_min<BlockQ4_1, 15>(from, values, importance, to);
}
void quantize_q5_1(const float* from, std::size_t values, const float* importance, std::byte* to) {
  quantize_with_min<BlockQ5_1, 31>(from, values, importance, to);
}

void dequantize_q4_0(const std::byte* from, std::size_t values, float* to) {
  dequantize_around_middle<BlockQ4_0, 8>(from, values, to);
}
void dequantize_q5_0(const std::byte* from, std::size_t values, float* to) {
  dequantize_around_middle<BlockQ5_0, 16>(from, values, to);
}
void dequantize_q4_1(const std::byte* from, std::size_t values, float* to) {
  dequantize_with_min<BlockQ4_1>(from, values, to);
}
void dequantize_q5_1(const std::byte* from, std::size_t values, float* to) {
  dequantize_with_min<BlockQ5_1>(from, values, to);
}

}  // namespace sluice::kernels
