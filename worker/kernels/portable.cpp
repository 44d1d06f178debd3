// Plain C++ for any CPU. Lanes are small arrays, which compilers turn into whatever vectors the baseline has.
#include "worker/kernels/elementwise.inl.h"
#include "worker/kernels/float_matmul.inl.h"
#include "worker/kernels/quantized_matmul.inl.h"
#include "worker/kernels/tables.h"

namespace sluice::kernels {
namespace {

struct Portable {
  static constexpr std::size_t kLanes = 8;
  static constexpr int kTileRows = 2;
  static constexpr int kTileTokens = 2;

  struct Vector {
    float lane[kLanes];
  };

  static Vector zero() { return {}; }
  static Vector load(const float* from) {
    Vector v;
    for (std::size_t i = 0; i < kLanes; ++i) v.lane[i] = from[i];
    return v;
  }
  static Vector load(const std::uint16_t* from) {
    Vector v;
    for (std::size_t i = 0; i < kLanes; ++i) v.lane[i] = half_to_float(from[i]);
    return v;
  }
  static void store(float* to, const Vector& v) {
    for (std::size_t i = 0; i < kLanes; ++i) to[i] = v.lane[i];
  }
  static Vector broadcast(float value) {
    Vector v;
    for (std::size_t i = 0; i < kLanes; ++i) v.lane[i] = value;
    return v;
  }
  static float one(float value) { return value; }
  static float one(std::uint16_t value) { return half_to_float(value); }
  static Vector multiply_add(const Vector& a, const Vector& b, Vector c) {
    for (std::size_t i = 0; i < kLanes; ++i) c.lane[i] += a.lane[i] * b.lane[i];
    return c;
  }
  static float sum(const Vector& v) {
    return ((v.lane[0] + v.lane[4]) + (v.lane[2] + v.lane[6])) +
           ((v.lane[1] + v.lane[5]) + (v.lane[3] + v.lane[7]));
  }
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
};

}  // namespace sluice::kernels
