// AVX2, FMA and F16C as float_matmul.inl.h wants them. For files compiled with those flags.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace sluice::kernels {
namespace {

struct Avx2Float {
  static constexpr std::size_t kLanes = 8;
  static constexpr int kTileRows = 4;
  static constexpr int kTileTokens = 3;
  using Vector = __m256;

  static Vector zero() { return _mm256_setzero_ps(); }
  static Vector load(const float* from) { return _mm256_loadu_ps(from); }
  static Vector load(const std::uint16_t* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static void store(float* to, Vector v) { _mm256_storeu_ps(to, v); }
  static float one(float value) { return value; }
  static float one(std::uint16_t value) { return _cvtsh_ss(value); }
  static Vector broadcast(float value) { return _mm256_set1_ps(value); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static float sum(Vector v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
};

}  // namespace
}  // namespace sluice::kernels
