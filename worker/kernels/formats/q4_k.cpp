// Q4_K and Q5_K: the same but for one more bit of each code.
#include "worker/kernels/formats/families.h"
#include "worker/kernels/formats/search.h"
#include "worker/kernels/half.h"

namespace sluice::kernels {
namespace {

constexpr std::size_t kGroup = 32;
constexpr std::size_t kGroups = kSuperBlock / kGroup;
constexpr int kGroupMost = 63;

void put_high(BlockQ4_K&, std::size_t, int) {}
void put_high(BlockQ5_K& block, std::size_t i, int code) {
  block.high[i % 32] = static_cast<std::uint8_t>(block.high[i % 32] | code >> 4 << (i / 32));
}
int high_at(const BlockQ4_K&, std::size_t) {
  return 0;
}
int high_at(const BlockQ5_K& block, std::size_t i) {
  return (block.high[i % 32] >> (i / 32) & 1) << 4;
}

template <class Block, int kCodeMost>
void quantize(const float* from, std::size_t values, const float* importance, std::byte* to) {
  for (std::size_t b = 0; b < values / kSuperBlock; ++b, from += kSuperBlock) {
    float weights[kSuperBlock];
    std::int8_t codes[kSuperBlock];
    error_weights(importance == nullptr ? nullptr : importance + b * kSuperBlock, kSuperBlock, weights);
    const SuperScales super = search_with_mins<kGroup>(from, weights, kCodeMost, kGroupMost, codes);
    Block block = {};
    block.scale = super.scale;
    block.min = super.min;
    std::uint8_t scales[kGroups];
    std::uint8_t mins[kGroups];
    for (std::size_t g = 0; g < kGroups; ++g) {
      scales[g] = static_cast<std::uint8_t>(super.scales[g]);
      mins[g] = static_cast<std::uint8_t>(super.mins[g]);
    }
    pack_group_scales(scales, mins, block.scales);
    for (std::size_t i = 0; i < kSuperBlock; ++i) {
      std::uint8_t& byte = block.codes[32 * (i / 64) + i % 32];
      byte = static_cast<std::uint8_t>(byte | (codes[i] & 15) << (i % 64 < 32 ? 0 : 4));
      put_high(block, i, codes[i]);
    }
    put_block(block, to, b);
  }
}

template <class Block>
void dequantize(const std::byte* from, std::size_t values, float* to) {
  for (std::size_t b = 0; b < values / kSuperBlock; ++b, to += kSuperBlock) {
    const auto block = block_at<Block>(from, b);
    const float scale = half_to_float(block.scale);
    const float min = half_to_float(block.min);
    std::uint8_t scales[kGroups];
    std::uint8_t mins[kGroups];
    unpack_group_scales(block.scales, scales, mins);
    for (std::size_t g = 0; g < kGroups; ++g) {
      const float group_scale = scale * static_cast<float>(scales[g]);
      const float group_min = min * static_cast<float>(mins[g]);
      for (std::size_t i = g * kGroup; i < (g + 1) * kGroup; ++i) {
        const int low = block.codes[32 * (i / 64) + i % 32] >> (i % 64 < 32 ? 0 : 4) & 15;
        to[i] = group_scale * static_cast<float>(low | high_at(block, i)) - group_min;
      }
    }
  }
}

}  // namespace

void quantize_q4_k(const float* from, std::size_t values, const float* importance, std::byte* to) {
  quantize<BlockQ4_K, 15>(from, values, importance, to);
}
void quantize_q5_k(const float* from, std::size_t values, const float* importance, std::byte* to) {
  quantize<BlockQ5_K, 31>(from, values, importance, to);
}
void dequantize_q4_k(const std::byte* from, std::size_t values, float* to) {
  dequantize<BlockQ4_K>(from, values, to);
}
void dequantize_q5_k(const std::byte* from, std::size_t values, float* to) {
  dequantize<BlockQ5_K>(from, values, to);
}

}  // namespace sluice::kernels
