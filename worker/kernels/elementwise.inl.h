// Functions of single numbers, written so that the compiler makes vectors of them for whatever instruction
// set the including file is compiled for. Everything has internal linkage for the reason in half.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "worker/kernels/half.h"
#include "worker/kernels/kernels.h"

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

// Sixteen floats at once, taken apart where registers are narrower: loops that compare aren't made vectors of
// by compilers, because of numbers that are none.
typedef float ManyFloats __attribute__((vector_size(64), aligned(4), may_alias));
typedef std::uint32_t ManyWords __attribute__((vector_size(64), aligned(4), may_alias));
constexpr std::size_t kMany = 16;

inline float largest_of(const float* x, std::size_t n) {
  float largest = x[0];
  std::size_t i = 0;
  if (n >= kMany) {
    ManyFloats best = *reinterpret_cast<const ManyFloats*>(x);
    for (; i + kMany <= n; i += kMany) {
      const ManyFloats some = *reinterpret_cast<const ManyFloats*>(x + i);
      best = some > best ? some : best;
    }
    for (std::size_t lane = 0; lane < kMany; ++lane) largest = best[lane] > largest ? best[lane] : largest;
  }
  for (; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

inline LogitScan scan_numbers(const float* x, std::size_t n) {
  LogitScan scan;
  std::uint32_t odd = 0;
  std::size_t i = 0;
  ManyWords odds{};
  for (; i + kMany <= n; i += kMany) {
    const ManyWords bits = *reinterpret_cast<const ManyWords*>(x + i);
    odds |= reinterpret_cast<ManyWords>((bits & 0x7F800000U) == 0x7F800000U);
  }
  for (std::size_t lane = 0; lane < kMany; ++lane) odd |= odds[lane];
  for (; i < n; ++i) odd |= (bits_of_float(x[i]) & 0x7F800000U) == 0x7F800000U ? 1 : 0;
  scan.finite = odd == 0;
  scan.largest = largest_of(x, n);
  i = 0;
  for (; i + kMany <= n; i += kMany) {
    const ManyWords same =
        reinterpret_cast<ManyWords>(*reinterpret_cast<const ManyFloats*>(x + i) == scan.largest);
    std::uint32_t any = 0;
    for (std::size_t lane = 0; lane < kMany; ++lane) any |= same[lane];
    if (any != 0) break;
  }
  while (i + 1 < n && !(x[i] == scan.largest)) ++i;
  scan.index = i;
  return scan;
}

// Σ exp(x - largest), in eight partial sums.
inline double sum_of_exp(const float* x, std::size_t n, float largest) {
  double sum = 0.0;
  constexpr std::size_t kStretch = 256;
  for (std::size_t begin = 0; begin < n; begin += kStretch) {
    const std::size_t end = n - begin < kStretch ? n : begin + kStretch;
    float powers[kStretch];
    for (std::size_t i = begin; i < end; ++i) powers[i - begin] = exp_approx(x[i] - largest);
    float partial[8] = {};
    for (std::size_t i = 0; i < end - begin; ++i) partial[i % 8] += powers[i];
    for (const float part : partial) sum += static_cast<double>(part);
  }
  return sum;
}

inline void softmax_in_place(float* x, std::size_t n) {
  const float largest = largest_of(x, n);
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

inline void quantize_activations(const float* x, std::size_t cols, std::size_t pitch, std::int8_t* values,
                                 float* scales) {
  for (std::size_t g = 0; g < cols / kGroupValues; ++g, x += kGroupValues) {
    // Magnitudes are ordered as their bits are, and of integers a compiler makes vectors.
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < kGroupValues; ++i) {
      const std::uint32_t magnitude = bits_of_float(x[i]) & 0x7FFFFFFFU;
      bits = magnitude > bits ? magnitude : bits;
    }
    const float largest = float_of_bits(bits);
    // Below this the inverse would overflow; such a group counts as zero.
    const bool zero = largest <= 1e-36F;
    const float inverse = zero ? 0.0F : 127.0F / largest;
    scales[g * pitch] = zero ? 0.0F : largest / 127.0F;
    std::int8_t* to = values + g * pitch * kGroupValues;
    for (std::size_t i = 0; i < kGroupValues; ++i) {
      // The same rounding trick as in exp_approx: nearest, ties to even.
      const std::uint32_t shifted = bits_of_float(x[i] * inverse + 12582912.0F);
      to[i] = static_cast<std::int8_t>(static_cast<std::int32_t>(shifted - 0x4B400000U));
    }
  }
}

// The sum of 16 signed bytes, eight at a time: made unsigned, then added in lanes of 16 bits.
inline std::int32_t sum_of_half(const std::int8_t* x) {
  constexpr std::uint64_t kSigns = 0x8080808080808080U;
  constexpr std::uint64_t kEven = 0x00FF00FF00FF00FFU;
  std::uint64_t words[2];
  static_assert(sizeof words == kGroupValues / 2);
  __builtin_memcpy(words, x, sizeof words);
  std::uint64_t lanes = 0;
  for (std::uint64_t word : words) {
    word ^= kSigns;
    lanes += (word & kEven) + (word >> 8 & kEven);
  }
  return static_cast<std::int32_t>(lanes * 0x0001000100010001U >> 48) - 128 * static_cast<int>(sizeof words);
}

inline void sum_tokens(TokenSums kind, const std::int8_t* values, const float* scales, std::size_t groups,
                       std::size_t pitch, void* to) {
  std::int32_t* biases = static_cast<std::int32_t*>(to);
  float* floats = static_cast<float*>(to);
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t t = 0; t < pitch; ++t, values += kGroupValues) {
      const std::int32_t halves[2] = {sum_of_half(values), sum_of_half(values + kGroupValues / 2)};
      const std::size_t at = g * pitch + t;
      const std::size_t first = 2 * g * pitch + t;
      switch (kind) {
        case TokenSums::kBiases:
          biases[at] = -8 * (halves[0] + halves[1]);
          break;
        case TokenSums::kHalfBiases:
          biases[first] = -8 * halves[0];
          biases[first + pitch] = -8 * halves[1];
          break;
        case TokenSums::kFloats:
          floats[at] = scales[at] * static_cast<float>(halves[0] + halves[1]);
          break;
        case TokenSums::kHalfFloats:
          floats[first] = scales[at] * static_cast<float>(halves[0]);
          floats[first + pitch] = scales[at] * static_cast<float>(halves[1]);
          break;
      }
    }
  }
}

}  // namespace
}  // namespace sluice::kernels
