// For any CPU: nothing beyond the baseline that the compiler was told.
#include <cstring>

#include "worker/kernels/elementwise.inl.h"
#include "worker/kernels/float_matmul.inl.h"
#include "worker/kernels/quantized_matmul.inl.h"
#include "worker/kernels/tables.h"

namespace sluice::kernels {
namespace {

// Vectors of four, an extension that GCC and Clang share: 128 bits are in the baseline of x86-64 and of
// AArch64, and elsewhere the compiler takes them apart.
typedef float Floats __attribute__((vector_size(16)));
typedef std::uint32_t Words __attribute__((vector_size(16)));
typedef std::uint16_t Halves __attribute__((vector_size(8)));

struct Portable {
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

float block_dot(const std::int8_t* a, const std::int8_t* b) {
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < kQ8Values; ++i) sum += static_cast<std::int32_t>(a[i]) * b[i];
  return static_cast<float>(sum);
}

void matmul_q8_0(const QuantizedMatmul& m) {
  const BlockQ8_0* w = static_cast<const BlockQ8_0*>(m.weights);
  const std::size_t blocks = m.cols / kQ8Values;
  for (std::size_t r = 0; r < m.rows; ++r, w += blocks) {
    for (std::size_t t = 0; t < m.tokens; ++t) {
      const std::int8_t* values = m.x.values + t * m.cols;
      const float* scales = m.x.scales + t * blocks;
      float sum = 0.0F;
      for (std::size_t b = 0; b < blocks; ++b) {
        sum += half_to_float(w[b].scale) * scales[b] * block_dot(w[b].values, values + b * kQ8Values);
      }
      m.y[t * m.y_stride + r] = sum;
    }
  }
}

}  // namespace

const KernelSet kPortableKernels = {
    .name = "portable",
    .matmul_f32 = float_matmul<Portable, float>,
    .matmul_f16 = float_matmul<Portable, std::uint16_t>,
    .matmul_q8_0 = matmul_q8_0,
    .quantize_row = quantize_activations,
    .dot = float_dot<Portable>,
    .weighted_sum = float_weighted_sum<Portable>,
    .softmax = softmax_in_place,
    .silu_multiply = silu_multiply_in_place,
    .attention = &kPortableAttention,
};

}  // namespace sluice::kernels
