// For any CPU: nothing beyond the baseline that the compiler was told.
#include <cstring>

#include "worker/kernels/kernel_set.inl.h"
#include "worker/kernels/portable_float.inl.h"
#include "worker/kernels/tables.h"

namespace sluice::kernels {
namespace {

typedef std::uint16_t Words64 __attribute__((vector_size(64)));
typedef std::int32_t Ints64 __attribute__((vector_size(64)));
typedef float Floats64 __attribute__((vector_size(64)));

// As packed_matmul.inl.h wants it, sixteen rows at once. Products are made in single precision, which is
// exact here: a group's sums are integers far below 2^24.
struct PortablePanel {
  static constexpr std::size_t kRows = 16;
  static constexpr int kPanels = 1;
  static constexpr bool kFloatDots = false;
  static constexpr bool kSignedBytes = false;
  static constexpr std::size_t kPrefetchBytes = 0;
  using Codes = Words64;
  using Ints = Ints64;
  using Floats = Floats64;

  static Codes load(const std::byte* from) {
    Codes v;
    std::memcpy(&v, from, sizeof v);
    return v;
  }
  static Codes whole_bytes(Codes v) { return v ^ 0x8080; }
  static Codes bytes(int value) { return Codes{} + static_cast<std::uint16_t>(value * 0x0101); }
  static Codes both(Codes a, Codes b) { return a & b; }
  static Codes either(Codes a, Codes b) { return a | b; }
  template <int N>
  static Codes left(Codes v) {
    return v << N;
  }
  template <int N>
  static Codes right(Codes v) {
    return v >> N;
  }

  static Ints zero_ints() { return Ints{}; }
  static Ints broadcast(std::int32_t value) { return Ints{} + value; }
  template <int N>
  static Ints left_ints(Ints v) {
    return v << N;
  }
  template <int N>
  static Ints right_ints(Ints v) {
    return v >> N;
  }
  // Where byte b of four begins depends on which end of a word comes first.
  static Floats byte_of_four(Codes w, std::size_t b) {
    const std::size_t place = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? b : 3 - b;
    return __builtin_convertvector(reinterpret_cast<Ints>(w) >> static_cast<int>(8 * place) & 0xFF, Floats);
  }
  template <int Bits, std::size_t First, std::size_t Quads>
  static void dots(const Codes (&w)[1][kGroupQuads], const std::int8_t* x, Ints start, Ints (&to)[1]) {
    Floats sums = Floats{};
    for (std::size_t q = First; q < First + Quads; ++q) {
      for (std::size_t b = 0; b < 4; ++b) sums += byte_of_four(w[0][q], b) * static_cast<float>(x[4 * q + b]);
    }
    to[0] = start + __builtin_convertvector(sums, Ints);
  }

  using Sums = Floats;
  static Sums zero_sums() { return Floats{}; }
  template <int Bits>
  static Sums add_products(Sums sum, Codes w, Codes x) {
    for (std::size_t b = 0; b < 4; ++b) sum += byte_of_four(w, b) * byte_of_four(x, b);
    return sum;
  }

  static Floats zero() { return Floats{}; }
  static Floats broadcast(float value) { return Floats{} + value; }
  static Floats to_floats(Ints v) { return __builtin_convertvector(v, Floats); }
  static Floats multiply(Floats a, Floats b) { return a * b; }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return a * b + c; }
  static Floats subtract_product(Floats a, Floats b, Floats c) { return c - a * b; }
  template <class Convert>
  static Floats each(const Convert& convert) {
    Floats v = Floats{};
    for (std::size_t i = 0; i < kRows; ++i) v[i] = convert(i);
    return v;
  }
  static Floats halves(const std::byte* from) {
    return each([&](std::size_t i) {
      std::uint16_t half;
      std::memcpy(&half, from + 2 * i, sizeof half);
      return half_to_float(half);
    });
  }
  static Floats unsigned_bytes(const std::byte* from) {
    return each([&](std::size_t i) { return static_cast<float>(from[i]); });
  }
  static Floats signed_bytes(const std::byte* from) {
    return each([&](std::size_t i) { return static_cast<float>(static_cast<std::int8_t>(from[i])); });
  }
  static Floats low_nibbles(const std::byte* from) {
    return each([&](std::size_t i) { return static_cast<float>(static_cast<int>(from[i]) & 15); });
  }
  static Floats high_nibbles(const std::byte* from) {
    return each([&](std::size_t i) { return static_cast<float>(static_cast<int>(from[i]) >> 4); });
  }
  static void store(float* to, Floats v, std::size_t rows) {
    std::memcpy(to, &v, (rows < kRows ? rows : kRows) * sizeof(float));
  }
};

}  // namespace

const KernelSet kPortableKernels = kernel_set<PortableFloat, PortablePanel>("portable", &kPortableAttention);

}  // namespace sluice::kernels
