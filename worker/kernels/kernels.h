// The inner loops: everything that is worth writing once for each instruction set, as tables of functions.
// One table is chosen at run time by what the CPU can do.
//
// Pure functions over memory that the caller owns: safe for concurrent use as long as outputs don't overlap.
//
// Numerics: a weight times float activations is accumulated in single precision; Q8_0 weights meet
// activations quantised to int8 in blocks of 32, their products are summed exactly in 32-bit integers within
// a block and in single precision across blocks. Within one table, an output depends only on its own row and
// its own activations: the same bits come out however many tokens or rows are computed together. The engine's
// promise that a sequence doesn't depend on its batch mates rests on this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "worker/kernels/attention.h"

namespace sluice::kernels {

// A row of activations in int8, in blocks of 32: x ≈ scale × value.
struct QuantizedRow {
  const std::int8_t* values = nullptr;
  const float* scales = nullptr;         // One for each block.
  const std::int32_t* biases = nullptr;  // For each block, -16 × the sum of its values: see avx512_vnni.cpp.
};

// y[t * y_stride + r] = Σ_k w[r][k] · x[t][k], for `rows` rows of weights and `tokens` rows of activations.
struct FloatMatmul {
  const void* weights = nullptr;  // First row; rows lie `cols` elements apart.
  std::size_t rows = 0;
  std::size_t cols = 0;
  const float* x = nullptr;  // Rows lie `cols` apart.
  std::size_t tokens = 0;
  float* y = nullptr;
  std::size_t y_stride = 0;
};

struct QuantizedMatmul {
  const void* weights = nullptr;  // First row; rows lie `cols` elements apart.
  std::size_t rows = 0;
  std::size_t cols = 0;  // A multiple of 32.
  QuantizedRow x;        // First row; the others follow without gaps in each of the three arrays.
  std::size_t tokens = 0;
  float* y = nullptr;
  std::size_t y_stride = 0;
};

struct KernelSet {
  std::string_view name;

  void (*matmul_f32)(const FloatMatmul&);
  void (*matmul_f16)(const FloatMatmul&);
  void (*matmul_q8_0)(const QuantizedMatmul&);

  // Quantises `cols` (a multiple of 32) activations.
  void (*quantize_row)(const float* x, std::size_t cols, std::int8_t* values, float* scales,
                       std::int32_t* biases);

  float (*dot)(const float* a, const float* b, std::size_t n);
  // y += Σ_i weights[i] · rows[i], over `count` rows of `n` numbers that lie without gaps.
  void (*weighted_sum)(const float* weights, const float* rows, std::size_t count, std::size_t n, float* y);
  // x := exp(x - max x) / Σ, over n ≥ 1 finite numbers.
  void (*softmax)(float* x, std::size_t n);
  // gate := gate / (1 + exp(-gate)) · up
  void (*silu_multiply)(float* gate, const float* up, std::size_t n);

  const AttentionKernels* attention;
};

// Those that this CPU can run, the fastest first. `portable` is always the last.
std::span<const KernelSet* const> kernel_sets();
// By name; nullptr: unknown, or not for this CPU.
const KernelSet* find_kernel_set(std::string_view name);

}  // namespace sluice::kernels
