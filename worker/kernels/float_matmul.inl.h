// Matrix times activations in single precision, written over a struct `Simd` that names one instruction set's
// vectors. Included by each instruction set's file; everything has internal linkage for the reason in half.h.
//
// A tile of R rows × T tokens is held in registers. Every output is one vector accumulator walked over k in
// order, then summed across its lanes, then the remainder of k: the same for every R and T.
#pragma once

#include "worker/kernels/kernels.h"

namespace sluice::kernels {
namespace {

template <class Simd, class Weight, int R, int T>
void float_tile(const Weight* w, const float* x, std::size_t cols, float* y, std::size_t y_stride) {
  typename Simd::Vector sums[R][T];
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) sums[r][t] = Simd::zero();
  }
  std::size_t k = 0;
  for (; k + Simd::kLanes <= cols; k += Simd::kLanes) {
    typename Simd::Vector weights[R];
    for (int r = 0; r < R; ++r) weights[r] = Simd::load(w + static_cast<std::size_t>(r) * cols + k);
    for (int t = 0; t < T; ++t) {
      const typename Simd::Vector activations = Simd::load(x + static_cast<std::size_t>(t) * cols + k);
      for (int r = 0; r < R; ++r) sums[r][t] = Simd::multiply_add(weights[r], activations, sums[r][t]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) {
      float sum = Simd::sum(sums[r][t]);
      for (std::size_t i = k; i < cols; ++i) {
        sum +=
            Simd::one(w[static_cast<std::size_t>(r) * cols + i]) * x[static_cast<std::size_t>(t) * cols + i];
      }
      y[static_cast<std::size_t>(t) * y_stride + static_cast<std::size_t>(r)] = sum;
    }
  }
}

// All tokens against R rows: T at a time, then fewer.
template <class Simd, class Weight, int R, int T>
void float_rows(const Weight* w, const float* x, std::size_t tokens, std::size_t cols, float* y,
                std::size_t y_stride) {
  while (tokens >= static_cast<std::size_t>(T)) {
    float_tile<Simd, Weight, R, T>(w, x, cols, y, y_stride);
    x += static_cast<std::size_t>(T) * cols;
    y += static_cast<std::size_t>(T) * y_stride;
    tokens -= static_cast<std::size_t>(T);
  }
  if constexpr (T > 1) {
    if (tokens > 0) float_rows<Simd, Weight, R, T - 1>(w, x, tokens, cols, y, y_stride);
  }
}

template <class Simd, class Weight>
void float_matmul(const FloatMatmul& m) {
  const Weight* w = static_cast<const Weight*>(m.weights);
  float* y = m.y;
  std::size_t rows = m.rows;
  // One token leaves no reuse of weights, only chains of additions to overlap: more rows at once.
  constexpr std::size_t kSingle = 8;
  if (m.tokens == 1) {
    for (; rows >= kSingle; rows -= kSingle, w += kSingle * m.cols, y += kSingle) {
      float_tile<Simd, Weight, kSingle, 1>(w, m.x, m.cols, y, m.y_stride);
    }
  }
  constexpr std::size_t kRows = Simd::kTileRows;
  for (; rows >= kRows; rows -= kRows, w += kRows * m.cols, y += kRows) {
    float_rows<Simd, Weight, kRows, Simd::kTileTokens>(w, m.x, m.tokens, m.cols, y, m.y_stride);
  }
  for (; rows > 0; --rows, w += m.cols, ++y) {
    float_rows<Simd, Weight, 1, Simd::kTileTokens>(w, m.x, m.tokens, m.cols, y, m.y_stride);
  }
}

template <class Simd>
float float_dot(const float* a, const float* b, std::size_t n) {
  typename Simd::Vector even = Simd::zero();
  typename Simd::Vector odd = Simd::zero();
  std::size_t k = 0;
  for (; k + 2 * Simd::kLanes <= n; k += 2 * Simd::kLanes) {
    even = Simd::multiply_add(Simd::load(a + k), Simd::load(b + k), even);
    odd = Simd::multiply_add(Simd::load(a + k + Simd::kLanes), Simd::load(b + k + Simd::kLanes), odd);
  }
  float sum = Simd::sum(even) + Simd::sum(odd);
  for (; k < n; ++k) sum += a[k] * b[k];
  return sum;
}

}  // namespace
}  // namespace sluice::kernels
