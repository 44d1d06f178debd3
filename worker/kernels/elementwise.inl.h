// Functions of single numbers, written so that the compiler makes vectors of them for whatever instruction
// set the including file is compiled for. Everything has internal linkage for the reason in half.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "worker/kernels/half.h"
#include "worker/kernels/q8_0.h"

namespace sluice::kernels {
namespace {

// e^x within 2 units in the last place for x in [-87, 88]; below, it goes to 0 (never subnormal), above, it
// stays at e^88. x = n·ln2 + r with |r| ≤ ln2/2; e^r by its Taylor polynomial; 2^n by the exponent's bits.
inline float exp_approx(float x) {
  const float clamped = x > 88.0F ? 88.0F : (x < -87.0F ? -87.0F : x);
  // Adding 1.5·2^23 rounds to the nearest integer and leaves it in the low bits.
  const float shifted = clamped * 1.44269504F + 12582912.0F;
  const float n = shifted - 12582912.0F;
  // ln2 in two parts, the first short enough for n times it to be exact.
  const float r = (clamped - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.0F / 5040.0F;
  p = p * r + 1.0F / 720.0F;
  p = p * r + 1.0F / 120.0F;
  p = p * r + 1.0F / 24.0F;
  p = p * r + 1.0F / 6.0F;
  p = p * r + 0.5F;
  p = p * r * r + r + 1.0F;
  const std::uint32_t power = (bits_of_float(shifted) - 0x4B400000U + 127U) << 23;
  return x < -87.0F ? 0.0F : p * float_of_bits(power);
}

inline void softmax_in_place(float* x, std::size_t n) {
  float largest = x[0];
  for (std::size_t i = 1; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  for (std::size_t i = 0; i < n; ++i) x[i] = exp_approx(x[i] - largest);
  // Eight partial sums: more exact than one, and free of a chain of dependent additions.
  float partial[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (std::size_t lane = 0; lane < 8; ++lane) partial[lane] += x[i + lane];
  }
  for (; i < n; ++i) partial[i % 8] += x[i];
  const float sum = ((partial[0] + partial[4]) + (partial[2] + partial[6])) +
                    ((partial[1] + partial[5]) + (partial[3] + partial[7]));
  const float inverse = 1.0F / sum;
  for (std::size_t k = 0; k < n; ++k) x[k] *= inverse;
}

inline void silu_multiply_in_place(float* gate, const float* up, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) gate[i] = gate[i] / (1.0F + exp_approx(-gate[i])) * up[i];
}

inline void quantize_activations(const float* x, std::size_t cols, std::int8_t* values, float* scales,
                                 std::int32_t* biases) {
  for (std::size_t b = 0; b < cols / kQ8Values; ++b, x += kQ8Values, values += kQ8Values) {
    float largest = 0.0F;
    for (std::size_t i = 0; i < kQ8Values; ++i) {
      const float magnitude = float_of_bits(bits_of_float(x[i]) & 0x7FFFFFFFU);
      largest = magnitude > largest ? magnitude : largest;
    }
    // Below this the inverse would overflow; such a block counts as zero.
    const float inverse = largest > 1e-36F ? 127.0F / largest : 0.0F;
    scales[b] = largest > 1e-36F ? largest / 127.0F : 0.0F;
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < kQ8Values; ++i) {
      // The same rounding trick as in exp_approx: nearest, ties to even.
      const std::uint32_t shifted = bits_of_float(x[i] * inverse + 12582912.0F);
      const std::int32_t rounded = static_cast<std::int32_t>(shifted - 0x4B400000U);
      values[i] = static_cast<std::int8_t>(rounded);
      sum += rounded;
    }
    biases[b] = -16 * sum;
  }
}

}  // namespace
}  // namespace sluice::kernels
