// Attention for CPUs with AVX-512 F, BW, VL and DQ. Compiled with those flags: see avx512_vnni.cpp.
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the undefined registers inside its own AVX-512 header for a mistake of the caller.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "worker/kernels/attention.inl.h"
#include "worker/kernels/avx512_float.inl.h"
#include "worker/kernels/tables.h"

namespace sluice::kernels {
namespace {

struct Avx512Attention : Avx512Float {
  static constexpr int kTileQueries = 6;
  static constexpr int kKeyVectors = 2;
  static constexpr int kValueVectors = 4;

  using Avx512Float::load;
  static Vector load(const std::int8_t* from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
  }
  static void store_halves(std::uint16_t* to, Vector v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static Vector multiply(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
  // Where b isn't a number, b.
  static Vector smaller(Vector a, Vector b) { return _mm512_min_ps(a, b); }
  static Vector larger(Vector a, Vector b) { return _mm512_max_ps(a, b); }
};

}  // namespace

const AttentionKernels kAvx512Attention = attention_kernels<Avx512Attention>();

}  // namespace sluice::kernels
