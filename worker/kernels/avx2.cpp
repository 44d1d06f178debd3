// For CPUs with AVX2, FMA and F16C (from 2013 on). This file is compiled with those flags: it may include
// nothing but intrinsics and headers of internal linkage (see half.h).
#include <immintrin.h>

#include "worker/kernels/elementwise.inl.h"
#include "worker/kernels/float_matmul.inl.h"
#include "worker/kernels/quantized_matmul.inl.h"
#include "worker/kernels/tables.h"

namespace sluice::kernels {
namespace {

struct Avx2 {
  static constexpr std::size_t kLanes = 8;
  using Vector = __m256;
  using Bytes = __m256i;

  static Vector zero() { return _mm256_setzero_ps(); }
  static Vector load(const float* from) { return _mm256_loadu_ps(from); }
  static Vector load(const std::uint16_t* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static void store(float* to, Vector v) { _mm256_storeu_ps(to, v); }
  static float one(float value) { return value; }
  static float one(std::uint16_t value) { return _cvtsh_ss(value); }
  static Vector broadcast(float value) { return _mm256_set1_ps(value); }
  static Vector multiply(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static float sum(Vector v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }

  static Bytes load_bytes(const std::int8_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static Bytes load_weights(const std::int8_t* from) { return load_bytes(from); }
  static Bytes load_activations(const std::int8_t* from, const std::int32_t*) { return load_bytes(from); }
  // The multiplication takes unsigned times signed bytes: |w| · (x with the sign of w). A pair's sum stays
  // within 16 bits even for w = -128, because activations lie within ±127.
  static Vector dot_bytes(Bytes weights, Bytes activations) {
    const Bytes pairs =
        _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(activations, weights));
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

struct Avx2Float : Avx2 {
  static constexpr int kTileRows = 4;
  static constexpr int kTileTokens = 3;
};

struct Avx2Bytes : Avx2 {
  static constexpr int kTileRows = 2;
  static constexpr int kTileTokens = 4;
};

}  // namespace

const KernelSet kAvx2Kernels = {
    .name = "avx2",
    .matmul_f32 = float_matmul<Avx2Float, float>,
    .matmul_f16 = float_matmul<Avx2Float, std::uint16_t>,
    .matmul_q8_0 = quantized_matmul<Avx2Bytes>,
    .quantize_row = quantize_activations,
    .dot = float_dot<Avx2>,
    .weighted_sum = float_weighted_sum<Avx2>,
    .softmax = softmax_in_place,
    .silu_multiply = silu_multiply_in_place,
    .attention = &kAvx2Attention,
};

}  // namespace sluice::kernels
