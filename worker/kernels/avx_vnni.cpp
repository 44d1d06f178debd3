// For CPUs with AVX2, FMA, F16C and AVX-VNNI but without AVX-512. This file is compiled with those flags: it
// may include nothing but intrinsics and headers of internal linkage (see half.h).
#include <immintrin.h>

#include "worker/kernels/avx2_float.inl.h"
#include "worker/kernels/kernel_set.inl.h"
#include "worker/kernels/panel256.inl.h"
#include "worker/kernels/tables.h"

namespace sluice::kernels {
namespace {

struct Vnni256 : Panel256 {
  static constexpr bool kSignedBytes = false;
  // The instruction multiplies unsigned by signed bytes, so signed weights are shifted by 128.
  static Codes whole_bytes(Codes v) { return _mm256_xor_si256(v, bytes(0x80)); }
  template <int Bits, std::size_t First, std::size_t Quads>
  static inline __attribute__((always_inline)) void dots(const Codes (&w)[1][kGroupQuads],
                                                         const std::int8_t* x, Ints start, Ints (&to)[1]) {
    // Two chains of additions: one would be too long to keep the units busy.
    Ints second = zero_ints();
    to[0] = start;
    unrolled<Quads / 2>([&](auto q) __attribute__((always_inline)) {
      constexpr std::size_t kEven = First + q;
      constexpr std::size_t kOdd = kEven + Quads / 2;
      to[0] = _mm256_dpbusd_avx_epi32(to[0], w[0][kEven], four_of(x + 4 * kEven));
      second = _mm256_dpbusd_avx_epi32(second, w[0][kOdd], four_of(x + 4 * kOdd));
    });
    to[0] = _mm256_add_epi32(to[0], second);
  }

  using Sums = Ints;
  static Sums zero_sums() { return zero_ints(); }
  template <int Bits>
  static Sums add_products(Sums sum, Codes w, Codes x) {
    return _mm256_dpbusd_avx_epi32(sum, w, x);
  }
};

}  // namespace

const KernelSet kAvxVnniKernels = kernel_set<Avx2Float, Vnni256>("avx-vnni", &kAvx2Attention);

}  // namespace sluice::kernels
