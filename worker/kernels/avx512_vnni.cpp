// For CPUs with AVX-512 F, BW, VL, DQ and VNNI. This file is compiled with those flags: it may include
// nothing but intrinsics and headers of internal linkage (see half.h).
#include <immintrin.h>

#include "worker/kernels/elementwise.inl.h"
#include "worker/kernels/float_matmul.inl.h"
#include "worker/kernels/quantized_matmul.inl.h"
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

struct VnniBytes {
  static constexpr int kTileRows = 4;
  static constexpr int kTileTokens = 4;
  using Vector = __m256;
  using Bytes = __m256i;
  struct Activations {
    __m256i values;
    __m256i bias;
  };

  static Vector zero() { return _mm256_setzero_ps(); }
  static float one(std::uint16_t value) { return _cvtsh_ss(value); }
  static Vector broadcast(float value) { return _mm256_set1_ps(value); }
  static Vector multiply(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static float sum(Vector v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }

  // The instruction multiplies unsigned by signed bytes, so weights are shifted by 128:
  // Σ w·x = Σ (w + 128)·x - 128·Σ x. The second term comes with the activations, an eighth of it in each of
  // the eight lanes.
  static Bytes load_weights(const std::int8_t* from) {
    return _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)),
                            _mm256_set1_epi8(static_cast<char>(0x80)));
  }
  static Activations load_activations(const std::int8_t* from, const std::int32_t* bias) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)), _mm256_set1_epi32(*bias)};
  }
  static Vector dot_bytes(Bytes weights, const Activations& x) {
    return _mm256_cvtepi32_ps(_mm256_dpbusd_epi32(x.bias, weights, x.values));
  }
};

}  // namespace

const KernelSet kAvx512VnniKernels = {
    .name = "avx512-vnni",
    .matmul_f32 = float_matmul<Avx512Float, float>,
    .matmul_f16 = float_matmul<Avx512Float, std::uint16_t>,
    .matmul_q8_0 = quantized_matmul<VnniBytes>,
    .quantize_row = quantize_activations,
    .dot = float_dot<Avx512Float>,
    .weighted_sum = float_weighted_sum<Avx512Float>,
    .softmax = softmax_in_place,
    .silu_multiply = silu_multiply_in_place,
};

}  // namespace sluice::kernels
