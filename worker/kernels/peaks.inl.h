// The loops behind Peaks. Included by each instruction set's file; everything has internal linkage for the
// reason in half.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "worker/kernels/kernels.h"
#include "worker/kernels/packed_matmul.inl.h"

namespace sluice::kernels {
namespace {

// Enough chains of dependent additions to keep two units busy at five cycles each.
constexpr int kPeakChains = 12;

#if defined(__AVX512F__)
constexpr std::size_t kRegisterBytes = 64;
#elif defined(__AVX__)
constexpr std::size_t kRegisterBytes = 32;
#else
constexpr std::size_t kRegisterBytes = 16;
#endif

// Hides a vector's content from the compiler, in a register if one holds it.
template <class Vector>
inline __attribute__((always_inline)) void touch(Vector& v) {
  if constexpr (sizeof v > kRegisterBytes) {
    asm volatile("" : "+m"(v));
  } else {
#if defined(__x86_64__)
    asm volatile("" : "+x"(v));
#else
    asm volatile("" : "+m"(v));
#endif
  }
}

template <class Simd, int Bits>
double integer_peak(std::size_t rounds) {
  typename Simd::Sums sums[kPeakChains];
  unrolled<kPeakChains>([&](auto i) __attribute__((always_inline)) { sums[i] = Simd::zero_sums(); });
  typename Simd::Codes w = Simd::bytes(1);
  typename Simd::Codes x = Simd::bytes(1);
  touch(w);
  touch(x);
  for (std::size_t round = 0; round < rounds; ++round) {
    unrolled<kPeakChains>([&](auto i) __attribute__((always_inline)) {
      touch(w);  // Or the product, which is the same each time, would be made once before the loop.
      sums[i] = Simd::template add_products<Bits>(sums[i], w, x);
      touch(sums[i]);
    });
  }
  return 2.0 * static_cast<double>(sizeof w) * kPeakChains * static_cast<double>(rounds);
}

template <class Simd>
double float_peak(std::size_t rounds) {
  typename Simd::Floats sums[kPeakChains];
  unrolled<kPeakChains>([&](auto i) __attribute__((always_inline)) { sums[i] = Simd::zero(); });
  typename Simd::Floats a = Simd::zero();
  touch(a);
  for (std::size_t round = 0; round < rounds; ++round) {
    unrolled<kPeakChains>([&](auto i) __attribute__((always_inline)) {
      sums[i] = Simd::multiply_add(a, a, sums[i]);
      touch(sums[i]);
    });
  }
  return 2.0 * static_cast<double>(sizeof a / sizeof(float)) * kPeakChains * static_cast<double>(rounds);
}

inline std::uint64_t read_words(const std::uint64_t* from, std::size_t words) {
  std::uint64_t sums[32] = {};
  std::size_t i = 0;
  for (; i + 32 <= words; i += 32) {
    for (std::size_t lane = 0; lane < 32; ++lane) sums[lane] += from[i + lane];
  }
  std::uint64_t sum = 0;
  for (; i < words; ++i) sum += from[i];
  for (const std::uint64_t lane : sums) sum += lane;
  return sum;
}

template <class Simd>
constexpr Peaks peaks() {
  return {integer_peak<Simd, 8>, integer_peak<Simd, 4>, float_peak<Simd>, read_words};
}

}  // namespace
}  // namespace sluice::kernels
