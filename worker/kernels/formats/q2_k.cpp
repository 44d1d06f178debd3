#include "worker/kernels/formats/families.h"
#include "worker/kernels/formats/search.h"
#include "worker/kernels/half.h"

namespace sluice::kernels {
namespace {

constexpr std::size_t kGroup = 16;

}  // namespace

void quantize_q2_k(const float* from, std::size_t values, const float* importance, std::byte* to) {
  for (std::size_t b = 0; b < values / kSuperBlock; ++b, from += kSuperBlock) {
    float weights[kSuperBlock];
    std::int8_t codes[kSuperBlock];
    error_weights(importance == nullptr ? nullptr : importance + b * kSuperBlock, kSuperBlock, weights);
    const SuperScales super = search_with_mins<kGroup>(from, weights, 3, 15, codes);
    BlockQ2_K block = {};
    block.scale = super.scale;
    block.min = super.min;
    for (std::size_t g = 0; g < kSuperBlock / kGroup; ++g) {
      block.scales[g] = static_cast<std::uint8_t>(super.scales[g] | super.mins[g] << 4);
    }
    for (std::size_t i = 0; i < kSuperBlock; ++i) {
      std::uint8_t& byte = block.codes[32 * (i / 128) + i % 32];
      byte = static_cast<std::uint8_t>(byte | codes[i] << (2 * (i % 128 / 32)));
    }
    put_block(block, to, b);
  }
}

void dequantize_q2_k(const std::byte* from, std::size_t values, float* to) {
  for (std::size_t b = 0; b < values / kSuperBlock; ++b, to += kSuperBlock) {
    const auto block = block_at<BlockQ2_K>(from, b);
    const float scale = half_to_float(block.scale);
    const float min = half_to_float(block.min);
    for (std::size_t g = 0; g < kSuperBlock / kGroup; ++g) {
      const float group_scale = scale * static_cast<float>(block.scales[g] & 15);
      const float group_min = min * static_cast<float>(block.scales[g] >> 4);
      for (std::size_t i = g * kGroup; i < (g + 1) * kGroup; ++i) {
        const int code = block.codes[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32)) & 3;
        to[i] = group_scale * static_cast<float>(code) - group_min;
      }
    }
  }
}

}  // namespace sluice::kernels
