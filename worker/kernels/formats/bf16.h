// The upper half of a single: 8 bits of exponent, 7 of mantissa. Internal linkage for the reason in half.h.
#pragma once

#include <cstdint>

#include "worker/kernels/half.h"

namespace sluice::kernels {

static inline float bf16_to_float(std::uint16_t bits) {
  return float_of_bits(static_cast<std::uint32_t>(bits) << 16);
}

// Rounds to nearest, ties to even. Too large becomes infinity, NaN stays NaN.
static inline std::uint16_t float_to_bf16(float value) {
  const std::uint32_t bits = bits_of_float(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<std::uint16_t>(bits >> 16 | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

}  // namespace sluice::kernels
