// What AVX2 and AVX-VNNI share of packed_matmul.inl.h's Simd: a register holds eight rows, and sixteen
// registers are too few to keep the sums of several tokens beside a group's weights. For files compiled with
// AVX2, FMA and F16C.
#pragma once

#include <immintrin.h>

#include "worker/kernels/packed_matmul.inl.h"

namespace sluice::kernels {
namespace {

struct Panel256 {
  static constexpr std::size_t kRows = 8;
  static constexpr int kPanels = 1;
  static constexpr bool kFloatDots = false;
  static constexpr std::size_t kPrefetchBytes = 2048;
  using Codes = __m256i;
  using Ints = __m256i;
  using Floats = __m256;

  static __m128i load_8(const std::byte* from) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  }
  static Codes load(const std::byte* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static Codes bytes(int value) { return _mm256_set1_epi8(static_cast<char>(value)); }
  static Codes both(Codes a, Codes b) { return _mm256_and_si256(a, b); }
  static Codes either(Codes a, Codes b) { return _mm256_or_si256(a, b); }
  template <int N>
  static Codes left(Codes v) {
    return _mm256_slli_epi16(v, N);
  }
  template <int N>
  static Codes right(Codes v) {
    return _mm256_srli_epi16(v, N);
  }
  static __m256i four_of(const std::int8_t* x) {
    std::int32_t four;
    __builtin_memcpy(&four, x, sizeof four);
    return _mm256_set1_epi32(four);
  }

  static Ints zero_ints() { return _mm256_setzero_si256(); }
  static Ints broadcast(std::int32_t value) { return _mm256_set1_epi32(value); }
  template <int N>
  static Ints left_ints(Ints v) {
    return _mm256_slli_epi32(v, N);
  }
  template <int N>
  static Ints right_ints(Ints v) {
    return _mm256_srai_epi32(v, N);
  }

  static Floats zero() { return _mm256_setzero_ps(); }
  static Floats broadcast(float value) { return _mm256_set1_ps(value); }
  static Floats to_floats(Ints v) { return _mm256_cvtepi32_ps(v); }
  static Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static Floats subtract_product(Floats a, Floats b, Floats c) { return _mm256_fnmadd_ps(a, b, c); }
  static Floats halves(const std::byte* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static Floats unsigned_bytes(const std::byte* from) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(load_8(from)));
  }
  static Floats signed_bytes(const std::byte* from) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_8(from)));
  }
  static Floats low_nibbles(const std::byte* from) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_and_si128(load_8(from), _mm_set1_epi8(0x0F))));
  }
  static Floats high_nibbles(const std::byte* from) {
    const __m128i moved = _mm_srli_epi16(load_8(from), 4);
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_and_si128(moved, _mm_set1_epi8(0x0F))));
  }
  static void store(float* to, Floats v, std::size_t rows) {
    if (rows >= kRows) {
      _mm256_storeu_ps(to, v);
      return;
    }
    alignas(32) float all[kRows];
    _mm256_store_ps(all, v);
    for (std::size_t r = 0; r < rows; ++r) to[r] = all[r];
  }
};

}  // namespace
}  // namespace sluice::kernels
