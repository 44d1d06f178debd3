// Conversions between IEEE half and single precision, without the help of any CPU extension.
//
// Everything here has internal linkage on purpose: files compiled for different instruction sets include it,
// and a shared inline function could be linked in the version that this CPU can't run.
#pragma once

#include <cstdint>
#include <cstring>

namespace sluice::kernels {

static inline float float_of_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

static inline std::uint32_t bits_of_float(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float half_to_float(std::uint16_t half) {
  const std::uint32_t magnitude = static_cast<std::uint32_t>(half & 0x7FFFU) << 13;
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16;
  // Rescaling by 2^112 moves the exponent's bias from 15 to 127 and makes subnormal halves right as well.
  const std::uint32_t finite = bits_of_float(float_of_bits(magnitude) * 0x1p112F);
  const std::uint32_t special = magnitude | 0x7F800000U;  // Infinity and NaN keep their mantissa.
  return float_of_bits((magnitude >= 0x0F800000U ? special : finite) | sign);
}

static inline bool half_finite(std::uint16_t half) {
  return (half & 0x7C00U) != 0x7C00U;
}

// Rounds to nearest, ties to even. Too large becomes infinity, NaN stays NaN.
static inline std::uint16_t float_to_half(float value) {
  const std::uint32_t bits = bits_of_float(value);
  const std::uint16_t sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<std::uint16_t>(sign | 0x7E00U);
  if (magnitude >= 0x477FF000U) return static_cast<std::uint16_t>(sign | 0x7C00U);  // From 65520 on.
  if (magnitude < 0x38800000U) {
    // Below 2^-14 halves are multiples of 2^-24; adding 0.5 lets the FPU round to such a multiple.
    const float shifted = float_of_bits(magnitude) + 0.5F;
    return static_cast<std::uint16_t>(sign | (bits_of_float(shifted) - bits_of_float(0.5F)));
  }
  const std::uint32_t odd = (magnitude >> 13) & 1U;
  return static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000U + 0xFFFU + odd) >> 13));
}

}  // namespace sluice::kernels
