#include "worker/kernels/q8_0.h"

#include <cmath>

#include "worker/kernels/half.h"

namespace sluice::kernels {

void quantize_q8_0(const float* from, std::size_t values, BlockQ8_0* to) {
  for (std::size_t block = 0; block < values / kQ8Values; ++block, from += kQ8Values, ++to) {
    float largest = 0.0F;
    for (std::size_t i = 0; i < kQ8Values; ++i) largest = std::fmax(largest, std::fabs(from[i]));
    const float scale = largest / 127.0F;
    const float inverse = scale > 1e-30F ? 1.0F / scale : 0.0F;  // Such a scale is 0 as a half anyway.
    to->scale = float_to_half(scale);
    for (std::size_t i = 0; i < kQ8Values; ++i) {
      to->values[i] = static_cast<std::int8_t>(std::roundf(from[i] * inverse));
    }
  }
}

void dequantize_q8_0(const BlockQ8_0* from, std::size_t values, float* to) {
  for (std::size_t block = 0; block < values / kQ8Values; ++block, ++from, to += kQ8Values) {
    const float scale = half_to_float(from->scale);
    for (std::size_t i = 0; i < kQ8Values; ++i) to[i] = scale * static_cast<float>(from->values[i]);
  }
}

}  // namespace sluice::kernels
