// Q8_0: rows in blocks of 32 numbers, each block one half-precision scale and 32 signed bytes; a number is
// scale × byte. Pure functions: safe for concurrent use.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::kernels {

inline constexpr std::size_t kQ8Values = 32;

struct BlockQ8_0 {  // As it lies in the file.
  std::uint16_t scale;
  std::int8_t values[kQ8Values];
};
static_assert(sizeof(BlockQ8_0) == 34);

// `values` must be a multiple of 32. The scale is the largest magnitude / 127; each number is divided by the
// scale in single precision and rounded to the nearest byte, halves away from zero, as files of this format
// are made elsewhere.
void quantize_q8_0(const float* from, std::size_t values, BlockQ8_0* to);
void dequantize_q8_0(const BlockQ8_0* from, std::size_t values, float* to);

}  // namespace sluice::kernels
