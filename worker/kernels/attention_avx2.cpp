// Attention for CPUs with AVX2, FMA and F16C. Compiled with those flags: see avx2.cpp.
#include <immintrin.h>

#include "worker/kernels/attention.inl.h"
#include "worker/kernels/avx2_float.inl.h"
#include "worker/kernels/tables.h"

namespace sluice::kernels {
namespace {

struct Avx2Attention : Avx2Float {
  static constexpr int kTileQueries = 6;
  static constexpr int kKeyVectors = 2;
  static constexpr int kValueVectors = 2;

  using Avx2Float::load;
  static Vector load(const std::int8_t* from) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
  }
  static void store_halves(std::uint16_t* to, Vector v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  }
  static Vector multiply(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  // Where b isn't a number, b.
  static Vector smaller(Vector a, Vector b) { return _mm256_min_ps(a, b); }
  static Vector larger(Vector a, Vector b) { return _mm256_max_ps(a, b); }
};

}  // namespace

const AttentionKernels kAvx2Attention = attention_kernels<Avx2Attention>();

}  // namespace sluice::kernels
