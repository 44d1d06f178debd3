// For CPUs with AVX2, FMA and F16C (from 2013 on). This file is compiled with those flags: it may include
// nothing but intrinsics and headers of internal linkage (see half.h).
#include <immintrin.h>

#include "worker/kernels/avx2_float.inl.h"
#include "worker/kernels/kernel_set.inl.h"
#include "worker/kernels/panel256.inl.h"
#include "worker/kernels/tables.h"

namespace sluice::kernels {
namespace {

// There is one instruction for two products of an unsigned and a signed byte, added up in 16 bits with
// saturation. Two products of a code of b bits and an activation within ±127 reach 254 × (2^b - 1), so short
// codes leave room to add several such sums before they are widened to 32 bits.
struct Avx2 : Panel256 {
  static constexpr bool kSignedBytes = true;
  static Codes whole_bytes(Codes v) { return v; }

  // Sums that fit into 16 bits.
  static constexpr std::size_t sums_that_fit(int bits) {
    return static_cast<std::size_t>(32767 / (254 * ((1 << bits) - 1)));
  }
  static Ints widen(Codes sums) { return _mm256_madd_epi16(sums, _mm256_set1_epi16(1)); }

  template <int Bits, std::size_t First, std::size_t Quads>
  static inline __attribute__((always_inline)) void dots(const Codes (&w)[1][kGroupQuads],
                                                         const std::int8_t* x, Ints start, Ints (&to)[1]) {
    to[0] = start;
    if constexpr (Bits == 8) {
      // Signed: |w| · (x with the sign of w). Two products stay within 16 bits even for w = -128.
      unrolled<Quads>([&](auto q) __attribute__((always_inline)) {
        const Codes own = w[0][First + q];
        const Codes signed_x = _mm256_sign_epi8(four_of(x + 4 * (First + q)), own);
        to[0] = _mm256_add_epi32(to[0], widen(_mm256_maddubs_epi16(_mm256_abs_epi8(own), signed_x)));
      });
    } else {
      constexpr std::size_t kFit = sums_that_fit(Bits) < Quads ? sums_that_fit(Bits) : Quads;
      static_assert(kFit >= 2 && Quads % kFit == 0);
      unrolled<Quads / kFit>([&](auto part) __attribute__((always_inline)) {
        constexpr std::size_t kBegin = First + part * kFit;
        Codes sums = _mm256_maddubs_epi16(w[0][kBegin], four_of(x + 4 * kBegin));
        unrolled<kFit - 1>([&](auto i) __attribute__((always_inline)) {
          constexpr std::size_t kAt = kBegin + 1 + i;
          sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(w[0][kAt], four_of(x + 4 * kAt)));
        });
        to[0] = _mm256_add_epi32(to[0], widen(sums));
      });
    }
  }

  using Sums = Ints;
  static Sums zero_sums() { return zero_ints(); }
  template <int Bits>
  static Sums add_products(Sums sum, Codes w, Codes x) {
    if constexpr (Bits == 8) return _mm256_add_epi32(sum, widen(_mm256_maddubs_epi16(w, x)));
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(w, x));
  }
};

}  // namespace

const KernelSet kAvx2Kernels = kernel_set<Avx2Float, Avx2>("avx2", &kAvx2Attention);

}  // namespace sluice::kernels
