#include "worker/kernels/formats/families.h"
#include "worker/kernels/formats/search.h"
#include "worker/kernels/half.h"

namespace sluice::kernels {
namespace {

constexpr std::size_t kGroup = 16;
constexpr int kScaleZero = 32;
constexpr int kCodeZero = 4;

}  // namespace

void quantize_q3_k(const float* from, std::size_t values, const float* importance, std::byte* to) {
  for (std::size_t b = 0; b < values / kSuperBlock; ++b, from += kSuperBlock) {
    float weights[kSuperBlock];
    std::int8_t codes[kSuperBlock];
    error_weights(importance == nullptr ? nullptr : importance + b * kSuperBlock, kSuperBlock, weights);
    const SuperScales super = search_symmetric<kGroup>(from, weights, {-kCodeZero, kCodeZero - 1},
                                                       {-kScaleZero, kScaleZero - 1}, codes);
    BlockQ3_K block = {};
    block.scale = super.scale;
    std::uint8_t scales[kSuperBlock / kGroup];
    for (std::size_t g = 0; g < kSuperBlock / kGroup; ++g) {
      scales[g] = static_cast<std::uint8_t>(super.scales[g] + kScaleZero);
    }
    pack_q3_k_scales(scales, block.scales);
    for (std::size_t i = 0; i < kSuperBlock; ++i) {
      const int code = codes[i] + kCodeZero;
      std::uint8_t& low = block.codes[32 * (i / 128) + i % 32];
      low = static_cast<std::uint8_t>(low | (code & 3) << (2 * (i % 128 / 32)));
      block.high[i % 32] = static_cast<std::uint8_t>(block.high[i % 32] | code >> 2 << (i / 32));
    }
    put_block(block, to, b);
  }
}

void dequantize_q3_k(const std::byte* from, std::size_t values, float* to) {
  for (std::size_t b = 0; b < values / kSuperBlock; ++b, to += kSuperBlock) {
    const auto block = block_at<BlockQ3_K>(from, b);
    const float scale = half_to_float(block.scale);
    std::uint8_t scales[kSuperBlock / kGroup];
    unpack_q3_k_scales(block.scales, scales);
    for (std::size_t g = 0; g < kSuperBlock / kGroup; ++g) {
      const float group_scale = scale * static_cast<float>(scales[g] - kScaleZero);
      for (std::size_t i = g * kGroup; i < (g + 1) * kGroup; ++i) {
        const int low = block.codes[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32)) & 3;
        const int high = block.high[i % 32] >> (i / 32) & 1;
        to[i] = group_scale * static_cast<float>((low | high << 2) - kCodeZero);
      }
    }
  }
}

}  // namespace sluice::kernels
