// Finds scales (and minima) for a group of numbers such that rounding to small integer codes loses the least.
// What counts is the weighted squared error Σ w · (x - rounded x)². For given codes the best scale is a least
// squares problem with a closed answer; the codes follow from the scale by rounding. The search starts from a
// grid of scales around the one that fits the largest number, then alternates between the two.
//
// Pure functions, the same bits on every machine: safe for concurrent use. N is 16 or 32 throughout.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::kernels {

// What a number rounds to: codes from `least` to `most`.
struct CodeRange {
  int least;
  int most;
};

// scale · code - min
struct ScaleMin {
  float scale = 0.0F;
  float min = 0.0F;
};

// Weighs the errors of `n` numbers: by `importance` where there is one that isn't all zeros, else all alike.
void error_weights(const float* importance, std::size_t n, float* weights);

// The scale for x ≈ scale · code; negative where that fits the range of codes better. Zeros give 0.
template <std::size_t N>
float best_scale(const float* x, const float* w, CodeRange range);

// For x ≈ scale · code - min with codes from 0 to `most`; scale ≥ 0, and min ≥ 0 if `min_positive`.
template <std::size_t N>
ScaleMin best_scale_min(const float* x, const float* w, int most, bool min_positive);

// The codes nearest to (x + min) / scale; all nearest to zero if the scale is 0. Returns the weighted squared
// error that they leave.
template <std::size_t N>
float round_to_codes(const float* x, const float* w, ScaleMin by, CodeRange range, std::int8_t* codes);

// A finite number as a half, cut to the largest finite half; NaN becomes 0.
std::uint16_t scale_to_half(float scale);

// Super-blocks: groups of N numbers whose scales (and minima) are themselves rounded to integers, with one
// half-precision factor for all scales and one for all minima.
struct SuperScales {
  std::uint16_t scale = 0;       // half
  std::uint16_t min = 0;         // half
  std::int16_t scales[16] = {};  // One for each group.
  std::int16_t mins[16] = {};
};

// For x ≈ scale · scales[g] · code - min · mins[g], codes and the integers of the groups from 0 to their
// most. Writes 256 codes.
template <std::size_t N>
SuperScales search_with_mins(const float* x, const float* w, int code_most, int group_most,
                             std::int8_t* codes);
// For x ≈ scale · scales[g] · code.
template <std::size_t N>
SuperScales search_symmetric(const float* x, const float* w, CodeRange code_range, CodeRange group_range,
                             std::int8_t* codes);

}  // namespace sluice::kernels
