// Attention for any CPU: nothing beyond the baseline that the compiler was told.
#include "worker/kernels/attention.inl.h"
#include "worker/kernels/tables.h"

namespace sluice::kernels {
namespace {

typedef float Floats __attribute__((vector_size(16)));
typedef std::uint32_t Words __attribute__((vector_size(16)));
typedef std::int32_t Integers __attribute__((vector_size(16)));
typedef std::uint16_t Halves __attribute__((vector_size(8)));
typedef std::int8_t Bytes __attribute__((vector_size(4)));

struct PortableAttention {
  static constexpr std::size_t kLanes = 4;
  static constexpr int kTileQueries = 4;
  static constexpr int kKeyVectors = 2;
  static constexpr int kValueVectors = 2;
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
  static Vector load(const std::int8_t* from) {
    Bytes bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    return __builtin_convertvector(__builtin_convertvector(bytes, Integers), Floats);
  }
  static void store(float* to, Vector v) { std::memcpy(to, &v, sizeof v); }
  static void store_halves(std::uint16_t* to, Vector v) {
    for (std::size_t i = 0; i < kLanes; ++i) to[i] = float_to_half(v[i]);
  }
  static float one(std::uint16_t value) { return half_to_float(value); }
  static Vector broadcast(float value) { return Vector{value, value, value, value}; }
  static Vector multiply(Vector a, Vector b) { return a * b; }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return a * b + c; }
  // Where b isn't a number, b.
  static Vector smaller(Vector a, Vector b) { return a < b ? a : b; }
  static Vector larger(Vector a, Vector b) { return a > b ? a : b; }
};

}  // namespace

const AttentionKernels kPortableAttention = attention_kernels<PortableAttention>();

}  // namespace sluice::kernels
