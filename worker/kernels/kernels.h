// The inner loops: everything that is worth writing once for each instruction set, as tables of functions.
// One table is chosen at run time by what the CPU can do.
//
// Pure functions over memory that the caller owns: safe for concurrent use as long as outputs don't overlap.
//
// Numerics: a float weight times float activations is accumulated in single precision; quantised weights meet
// activations quantised to int8 in groups of 32, their products are summed exactly in 32-bit integers within
// a group (or its half) and in single precision across groups. Within one table, an output depends only on
// its own row and its own activations: the same bits come out however many tokens or rows are computed
// together. The engine's promise that a sequence doesn't depend on its batch mates rests on this.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "worker/kernels/attention.h"
#include "worker/kernels/packed_layout.h"

namespace sluice::kernels {

// Rows of activations in int8, in groups of 32: x ≈ scale × value. They stand in tiles of 16 tokens, the last
// tile has what is left: tile by tile, group by group, token by token, so that a tile's group is one run of
// bytes. quantize_token makes them.
struct QuantizedTokens {
  const std::int8_t* values = nullptr;
  const float* scales = nullptr;  // One for each group and token.
  const void* sums = nullptr;     // As token_sums() of the weights' type says; made by sum_tokens.
  std::size_t tokens = 0;
};
inline constexpr std::size_t kTileTokens = 16;

// What weights of a type want to know of a token's groups, or of the two halves of each (then first those of
// all tokens for the one half, then for the other).
enum class TokenSums : std::uint8_t {
  kBiases,      // std::int32_t: -8 × the sum of a group's values
  kHalfBiases,  // std::int32_t: the same of each half
  kFloats,      // float: scale × the sum of a group's values
  kHalfFloats,  // float: the same of each half
};
inline constexpr std::size_t kTokenSums = 4;
TokenSums token_sums(PackedType type);

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

struct PackedMatmul {
  const void* panels = nullptr;  // The first row's panel.
  std::size_t rows = 0;          // The last panel may have more; those are left out.
  std::size_t cols = 0;          // Whole blocks of the layout.
  QuantizedTokens x;
  float* y = nullptr;
  std::size_t y_stride = 0;
};

// What is to be known of logits before one is chosen.
struct LogitScan {
  float largest = 0.0F;
  std::size_t index = 0;  // Of the largest; the first among equals.
  bool finite = true;     // All of them; else the other two mean nothing.
};

// What the CPU can do at the most, to compare with: functions that do nothing else for a while.
struct Peaks {
  // Return how many operations (a multiplication and an addition are two) `rounds` rounds were.
  double (*bytes)(std::size_t rounds);    // Products of int8 by the instructions that matmuls use.
  double (*nibbles)(std::size_t rounds);  // The same where weights have 4 bits, if that is faster.
  double (*floats)(std::size_t rounds);   // Fused multiply-adds in single precision.
  // The sum of `words` words, by the widest loads.
  std::uint64_t (*read)(const std::uint64_t* from, std::size_t words);
};

struct KernelSet {
  std::string_view name;

  void (*matmul_f32)(const FloatMatmul&);
  void (*matmul_f16)(const FloatMatmul&);
  std::array<void (*)(const PackedMatmul&), kPackedTypes> matmul_packed;  // In the order of PackedType.

  // Quantises one token's `cols` (a multiple of 32) activations into its place in a tile of `pitch` tokens:
  // groups lie `pitch` apart.
  void (*quantize_token)(const float* x, std::size_t cols, std::size_t pitch, std::int8_t* values,
                         float* scales);
  // Makes what token_sums() names for one tile of `pitch` tokens: one number for each group and token, or
  // two.
  void (*sum_tokens)(TokenSums kind, const std::int8_t* values, const float* scales, std::size_t groups,
                     std::size_t pitch, void* to);

  float (*dot)(const float* a, const float* b, std::size_t n);
  // x := exp(x - max x) / Σ, over n ≥ 1 finite numbers.
  void (*softmax)(float* x, std::size_t n);
  // gate := gate / (1 + exp(-gate)) · up
  void (*silu_multiply)(float* gate, const float* up, std::size_t n);

  // Over n ≥ 1 numbers.
  LogitScan (*scan)(const float* x, std::size_t n);
  // Σ exp(x - largest), over n ≥ 1 finite numbers.
  double (*sum_of_exp)(const float* x, std::size_t n, float largest);

  const AttentionKernels* attention;

  Peaks peaks;
};

// Those that this CPU can run, the fastest first. `portable` is always the last.
std::span<const KernelSet* const> kernel_sets();
// By name; nullptr: unknown, or not for this CPU.
const KernelSet* find_kernel_set(std::string_view name);

}  // namespace sluice::kernels
