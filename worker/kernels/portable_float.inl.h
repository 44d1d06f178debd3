// The compiler's own vectors of four as float_matmul.inl.h wants them, for any CPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "worker/kernels/half.h"

namespace sluice::kernels {
namespace {

// Vectors of four, an extension that GCC and Clang share: 128 bits are in the baseline of x86-64 and of
// AArch64, and elsewhere the compiler takes them apart.
typedef float Floats __attribute__((vector_size(16)));
typedef std::uint32_t Words __attribute__((vector_size(16)));
typedef std::uint16_t Halves __attribute__((vector_size(8)));

struct PortableFloat {
  static constexpr std::size_t kLanes = 4;
  static constexpr int kTileRows = 2;
  static constexpr int kTileTokens = 4;
  using Vector = Floats;

  static Vector zero() { return Vector{}; }
  static Vector load(const float* from) {
    Vector v;
    std::memcpy(&v, from, sizeof v);
    return v;
  }
  // As half_to_float, four at once. Comparisons of vectors give masks.
  static Vector load(const std::uint16_t* from) {
    Halves halves;
    std::memcpy(&halves, from, sizeof halves);
    const Words half = __builtin_convertvector(halves, Words);
    const Words magnitude = (half & 0x7FFFU) << 13;
    const Words finite = reinterpret_cast<Words>(reinterpret_cast<Floats>(magnitude) * 0x1p112F);
    const Words special = reinterpret_cast<Words>(magnitude >= 0x0F800000U) & 0x7F800000U;
    return reinterpret_cast<Floats>(finite | special | ((half & 0x8000U) << 16));
  }
  static void store(float* to, Vector v) { std::memcpy(to, &v, sizeof v); }
  static Vector broadcast(float value) { return Vector{value, value, value, value}; }
  static float one(float value) { return value; }
  static float one(std::uint16_t value) { return half_to_float(value); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return a * b + c; }
  static float sum(Vector v) { return (v[0] + v[2]) + (v[1] + v[3]); }
};

}  // namespace
}  // namespace sluice::kernels
