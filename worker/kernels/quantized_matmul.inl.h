// Q8_0 weights times int8 activations, written over a struct `Simd` that names one instruction set's vectors.
// Included by each instruction set's file; everything has internal linkage for the reason in half.h.
#pragma once

#include "worker/kernels/half.h"
#include "worker/kernels/kernels.h"
#include "worker/kernels/q8_0.h"

namespace sluice::kernels {
namespace {

// Every output is one vector accumulator walked over the blocks in order: the same for every R and T.
template <class Simd, int R, int T>
void quantized_tile(const BlockQ8_0* w, std::size_t blocks, const QuantizedRow& x, float* y,
                    std::size_t y_stride) {
  typename Simd::Vector sums[R][T];
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) sums[r][t] = Simd::zero();
  }
  for (std::size_t b = 0; b < blocks; ++b) {
    typename Simd::Bytes weights[R];
    typename Simd::Vector scales[R];
    for (int r = 0; r < R; ++r) {
      const BlockQ8_0& block = w[static_cast<std::size_t>(r) * blocks + b];
      weights[r] = Simd::load_weights(block.values);
      scales[r] = Simd::broadcast(Simd::one(block.scale));
    }
    for (int t = 0; t < T; ++t) {
      const std::size_t at = static_cast<std::size_t>(t) * blocks + b;
      const auto activations = Simd::load_activations(x.values + at * kQ8Values, x.biases + at);
      const typename Simd::Vector scale = Simd::broadcast(x.scales[at]);
      for (int r = 0; r < R; ++r) {
        sums[r][t] = Simd::multiply_add(Simd::multiply(scales[r], scale),
                                        Simd::dot_bytes(weights[r], activations), sums[r][t]);
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) {
      y[static_cast<std::size_t>(t) * y_stride + static_cast<std::size_t>(r)] = Simd::sum(sums[r][t]);
    }
  }
}

// The row T further on.
template <int T>
QuantizedRow advance(QuantizedRow x, std::size_t blocks) {
  x.values += static_cast<std::size_t>(T) * blocks * kQ8Values;
  x.scales += static_cast<std::size_t>(T) * blocks;
  x.biases += static_cast<std::size_t>(T) * blocks;
  return x;
}

template <class Simd, int R, int T>
void quantized_rows(const BlockQ8_0* w, std::size_t blocks, QuantizedRow x, std::size_t tokens, float* y,
                    std::size_t y_stride) {
  while (tokens >= static_cast<std::size_t>(T)) {
    quantized_tile<Simd, R, T>(w, blocks, x, y, y_stride);
    x = advance<T>(x, blocks);
    y += static_cast<std::size_t>(T) * y_stride;
    tokens -= static_cast<std::size_t>(T);
  }
  if constexpr (T > 1) {
    if (tokens > 0) quantized_rows<Simd, R, T - 1>(w, blocks, x, tokens, y, y_stride);
  }
}

template <class Simd>
void quantized_matmul(const QuantizedMatmul& m) {
  const BlockQ8_0* w = static_cast<const BlockQ8_0*>(m.weights);
  const std::size_t blocks = m.cols / kQ8Values;
  float* y = m.y;
  std::size_t rows = m.rows;
  constexpr std::size_t kRows = Simd::kTileRows;
  for (; rows >= kRows; rows -= kRows, w += kRows * blocks, y += kRows) {
    quantized_rows<Simd, kRows, Simd::kTileTokens>(w, blocks, m.x, m.tokens, y, m.y_stride);
  }
  for (; rows > 0; --rows, w += blocks, ++y) {
    quantized_rows<Simd, 1, Simd::kTileTokens>(w, blocks, m.x, m.tokens, y, m.y_stride);
  }
}

}  // namespace
}  // namespace sluice::kernels
