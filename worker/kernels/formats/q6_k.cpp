#include "worker/kernels/formats/families.h"
#include "worker/kernels/formats/search.h"
#include "worker/kernels/half.h"

namespace sluice::kernels {
namespace {

constexpr std::size_t kGroup = 16;
constexpr int kCodeZero = 32;

// Where the parts of code i are.
struct Place {
  std::size_t low_byte;
  int low_shift;
  std::size_t high_byte;
  int high_shift;
};

constexpr Place place_of(std::size_t i) {
  const std::size_t half = i / 128;
  const std::size_t rest = i % 128;
  return {64 * half + rest % 64, rest < 64 ? 0 : 4, 32 * half + rest % 32, static_cast<int>(2 * (rest / 32))};
}

}  // namespace

void quantize_q6_k(const float* from, std::size_t values, const float* importance, std::byte* to) {
  for (std::size_t b = 0; b < values / kSuperBlock; ++b, from += kSuperBlock) {
    float weights[kSuperBlock];
    std::int8_t codes[kSuperBlock];
    error_weights(importance == nullptr ? nullptr : importance + b * kSuperBlock, kSuperBlock, weights);
    const SuperScales super =
        search_symmetric<kGroup>(from, weights, {-kCodeZero, kCodeZero - 1}, {-128, 127}, codes);
    BlockQ6_K block = {};
    block.scale = super.scale;
    for (std::size_t g = 0; g < kSuperBlock / kGroup; ++g) {
      block.scales[g] = static_cast<std::int8_t>(super.scales[g]);
    }
    for (std::size_t i = 0; i < kSuperBlock; ++i) {
      const int code = codes[i] + kCodeZero;
      const Place place = place_of(i);
      std::uint8_t& low = block.codes[place.low_byte];
      std::uint8_t& high = block.high[place.high_byte];
      low = static_cast<std::uint8_t>(low | (code & 15) << place.low_shift);
      high = static_cast<std::uint8_t>(high | code >> 4 << place.high_shift);
    }
    put_block(block, to, b);
  }
}

void dequantize_q6_k(const std::byte* from, std::size_t values, float* to) {
  for (std::size_t b = 0; b < values / kSuperBlock; ++b, to += kSuperBlock) {
    const auto block = block_at<BlockQ6_K>(from, b);
    const float scale = half_to_float(block.scale);
    for (std::size_t i = 0; i < kSuperBlock; ++i) {
      const Place place = place_of(i);
      const int low = block.codes[place.low_byte] >> place.low_shift & 15;
      const int high = block.high[place.high_byte] >> place.high_shift & 3;
      to[i] = scale * static_cast<float>(block.scales[i / kGroup]) *
              static_cast<float>((low | high << 4) - kCodeZero);
    }
  }
}

}  // namespace sluice::kernels
