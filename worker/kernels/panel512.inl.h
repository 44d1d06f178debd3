// AVX-512 with VNNI as packed_matmul.inl.h wants it: a register holds 16 rows. For files compiled with those
// flags.
#pragma once

#include <immintrin.h>

#include "worker/kernels/packed_matmul.inl.h"

namespace sluice::kernels {
namespace {

struct Vnni512 {
  static constexpr std::size_t kRows = 16;
  static constexpr int kPanels = 2;
  static constexpr bool kSignedBytes = false;
  static constexpr bool kFloatDots = true;
  static constexpr std::size_t kPrefetchBytes = 2048;
  using Codes = __m512i;
  using Ints = __m512i;
  using Floats = __m512;

  static __m128i load_16(const std::byte* from) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  }
  static Codes load(const std::byte* from) { return _mm512_loadu_si512(from); }
  // The instruction multiplies unsigned by signed bytes, so signed weights are shifted by 128.
  static Codes whole_bytes(Codes v) { return _mm512_xor_si512(v, _mm512_set1_epi8(static_cast<char>(0x80))); }
  static Codes bytes(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
  static Codes both(Codes a, Codes b) { return _mm512_and_si512(a, b); }
  static Codes either(Codes a, Codes b) { return _mm512_or_si512(a, b); }
  template <int N>
  static Codes left(Codes v) {
    return _mm512_slli_epi16(v, N);
  }
  template <int N>
  static Codes right(Codes v) {
    return _mm512_srli_epi16(v, N);
  }

  static Codes four_of(const std::int8_t* x) {
    std::int32_t four;
    __builtin_memcpy(&four, x, sizeof four);
    return _mm512_set1_epi32(four);
  }
  static Ints zero_ints() { return _mm512_setzero_si512(); }
  static Ints broadcast(std::int32_t value) { return _mm512_set1_epi32(value); }
  template <int N>
  static Ints left_ints(Ints v) {
    return _mm512_slli_epi32(v, N);
  }
  template <int N>
  static Ints right_ints(Ints v) {
    return _mm512_srai_epi32(v, N);
  }
  template <int Bits, std::size_t First, std::size_t Quads, std::size_t P>
  static inline __attribute__((always_inline)) void dots(const Codes (&w)[P][kGroupQuads],
                                                         const std::int8_t* x, Ints start, Ints (&to)[P]) {
    // One chain of additions for each panel: those of other tokens fill its gaps.
    unrolled<P>([&](auto p) __attribute__((always_inline)) { to[p] = start; });
    unrolled<Quads>([&](auto q) __attribute__((always_inline)) {
      const Codes four = four_of(x + 4 * (First + q));
      unrolled<P>([&](auto p) __attribute__((always_inline)) {
        to[p] = _mm512_dpbusd_epi32(to[p], w[p][First + q], four);
      });
    });
  }

  using Sums = Ints;
  static Sums zero_sums() { return zero_ints(); }
  template <int Bits>
  static Sums add_products(Sums sum, Codes w, Codes x) {
    return _mm512_dpbusd_epi32(sum, w, x);
  }

  static Floats zero() { return _mm512_setzero_ps(); }
  static Floats broadcast(float value) { return _mm512_set1_ps(value); }
  static Floats to_floats(Ints v) { return _mm512_cvtepi32_ps(v); }
  static Floats as_floats(Ints v) { return _mm512_castsi512_ps(v); }
  static Floats fused(Floats a, Floats b, Floats c) { return _mm512_fmsub_ps(a, b, c); }
  static Ints add_ints(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
  static Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats subtract_product(Floats a, Floats b, Floats c) { return _mm512_fnmadd_ps(a, b, c); }
  static Floats halves(const std::byte* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static Floats unsigned_bytes(const std::byte* from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load_16(from)));
  }
  static Floats signed_bytes(const std::byte* from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_16(from)));
  }
  static Floats low_nibbles(const std::byte* from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_and_si128(load_16(from), _mm_set1_epi8(0x0F))));
  }
  static Floats high_nibbles(const std::byte* from) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepu8_epi32(_mm_and_si128(_mm_srli_epi16(load_16(from), 4), _mm_set1_epi8(0x0F))));
  }
  static void store(float* to, Floats v, std::size_t rows) {
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>(rows < 16 ? (1U << rows) - 1 : 0xFFFFU), v);
  }
};

}  // namespace
}  // namespace sluice::kernels
