// Attention for CPUs with AVX2, FMA and F16C. Compiled with those flags: see avx2.cpp.
#include <immintrin.h>

#include "worker/kernels/attention.inl.h"
#include "worker/kernels/tables.h"

namespace sluice::kernels {
namespace {

struct Avx2Attention {
  static constexpr std::size_t kLanes = 8;
  static constexpr int kTileQueries = 6;
  static constexpr int kKeyVectors = 2;
  static constexpr int kValueVectors = 2;
  using Vector = __m256;

  static Vector zero() { return _mm256_setzero_ps(); }
  static Vector load(const float* from) { return _mm256_loadu_ps(from); }
  static Vector load(const std::uint16_t* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static Vector load(const std::int8_t* from) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
  }
  static void store(float* to, Vector v) { _mm256_storeu_ps(to, v); }
  static void store_halves(std::uint16_t* to, Vector v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  }
  static float one(std::uint16_t value) { return _cvtsh_ss(value); }
  static Vector broadcast(float value) { return _mm256_set1_ps(value); }
  static Vector multiply(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  // Where b isn't a number, b.
  static Vector smaller(Vector a, Vector b) { return _mm256_min_ps(a, b); }
  static Vector larger(Vector a, Vector b) { return _mm256_max_ps(a, b); }
};

}  // namespace

const AttentionKernels kAvx2Attention = attention_kernels<Avx2Attention>();

}  // namespace sluice::kernels
