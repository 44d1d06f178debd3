// For CPUs with AVX-512 F, BW, VL, DQ and VNNI. This file is compiled with those flags: it may include
// nothing but intrinsics and headers of internal linkage (see half.h).
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the undefined registers inside its own AVX-512 header for a mistake of the caller.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "worker/kernels/elementwise.inl.h"
#include "worker/kernels/float_matmul.inl.h"
#include "worker/kernels/panel512.inl.h"
#include "worker/kernels/peaks.inl.h"
#include "worker/kernels/tables.h"

namespace sluice::kernels {
namespace {

struct Avx512Float {
  static constexpr std::size_t kLanes = 16;
  static constexpr int kTileRows = 4;
  static constexpr int kTileTokens = 6;
  using Vector = __m512;

  static Vector zero() { return _mm512_setzero_ps(); }
  static Vector load(const float* from) { return _mm512_loadu_ps(from); }
  static Vector load(const std::uint16_t* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static void store(float* to, Vector v) { _mm512_storeu_ps(to, v); }
  static Vector broadcast(float value) { return _mm512_set1_ps(value); }
  static float one(float value) { return value; }
  static float one(std::uint16_t value) { return _cvtsh_ss(value); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  static float sum(Vector v) { return _mm512_reduce_add_ps(v); }
};

}  // namespace

const KernelSet kAvx512VnniKernels = {
    .name = "avx512-vnni",
    .matmul_f32 = float_matmul<Avx512Float, float>,
    .matmul_f16 = float_matmul<Avx512Float, std::uint16_t>,
    .matmul_packed = packed_matmuls<Vnni512>(),
    .quantize_token = quantize_activations,
    .sum_tokens = sum_tokens,
    .dot = float_dot<Avx512Float>,
    .weighted_sum = float_weighted_sum<Avx512Float>,
    .softmax = softmax_in_place,
    .silu_multiply = silu_multiply_in_place,
    .scan = scan_numbers,
    .sum_of_exp = sum_of_exp,
    .attention = &kAvx512Attention,
    .peaks = peaks<Vnni512>(),
};

}  // namespace sluice::kernels
