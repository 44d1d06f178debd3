// For CPUs with AVX-512 F, BW, VL, DQ and VNNI. This file is compiled with those flags: it may include
// nothing but intrinsics and headers of internal linkage (see half.h).
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the undefined registers inside its own AVX-512 header for a mistake of the caller.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "worker/kernels/elementwise.inl.h"
#include "worker/kernels/float_matmul.inl.h"
#include "worker/kernels/quantized_matmul.inl.h"
#include "worker/kernels/tables.h"

namespace sluice::kernels {
namespace {

struct Avx512Float {
  static constexpr std::size_t kLanes = 16;
  static constexpr int kTileRows = 4;
  static constexpr int kTileTokens = 6;
  using Vector = __m512;

  static Vector zero() { return _mm512_setzero_ps(); }
  static Vector load(const float* from) { return _mm512_loadu_ps(from); }
  static Vector load(const std::uint16_t* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static void store(float* to, Vector v) { _mm512_storeu_ps(to, v); }
  static Vector broadcast(float value) { return _mm512_set1_ps(value); }
  static float one(float value) { return value; }
  static float one(std::uint16_t value) { return _cvtsh_ss(value); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  static float sum(Vector v) { return _mm512_reduce_add_ps(v); }
};

struct VnniBytes {
  static constexpr int kTileRows = 4;
  static constexpr int kTileTokens = 4;
  using Vector = __m256;
  using Bytes = __m256i;
  struct Activations {
    __m256i values;
    __m256i bias;
  };

  static Vector zero() { return _mm256_setzero_ps(); }
  static float one(std::uint16_t value) { return _cvtsh_ss(value); }
  static Vector broadcast(float value) { return _mm256_set1_ps(value); }
  static Vector multiply(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static float sum(Vector v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }

  // The instruction multiplies unsigned by signed bytes, so weights are shifted by 128:
  // Σ w·x = Σ (w + 128)·x - 128·Σ x. The second term comes with the activations, an eighth of it in each of
  // the eight lanes.
  static Bytes load_weights(const std::int8_t* from) {
    return _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)),
                            _mm256_set1_epi8(static_cast<char>(0x80)));
  }
  static Activations load_activations(const std::int8_t* from, const std::int32_t* bias) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)), _mm256_set1_epi32(*bias)};
  }
  static Vector dot_bytes(Bytes weights, const Activations& x) {
    return _mm256_cvtepi32_ps(_mm256_dpbusd_epi32(x.bias, weights, x.values));
  }
};

// Two rows in one register, each in its own half: half the instructions of one row at a time, and in each
// half the same operations in the same order, so the bits are those of VnniBytes. P pairs of rows × T tokens.
template <int P, int T>
void pair_tile(const BlockQ8_0* w, std::size_t blocks, const QuantizedRow& x, float* y,
               std::size_t y_stride) {
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  __m512 sums[P][T];
  for (int p = 0; p < P; ++p) {
    for (int t = 0; t < T; ++t) sums[p][t] = _mm512_setzero_ps();
  }
  const auto load_half = [](const std::int8_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  };
  for (std::size_t b = 0; b < blocks; ++b) {
    __m512i weights[P];
    __m512 scales[P];
    for (int p = 0; p < P; ++p) {
      const BlockQ8_0& low = w[static_cast<std::size_t>(2 * p) * blocks + b];
      const BlockQ8_0& high = w[static_cast<std::size_t>(2 * p + 1) * blocks + b];
      const __m512i both =
          _mm512_inserti64x4(_mm512_castsi256_si512(load_half(low.values)), load_half(high.values), 1);
      weights[p] = _mm512_xor_si512(both, flip);
      scales[p] =
          _mm512_insertf32x8(_mm512_set1_ps(_cvtsh_ss(low.scale)), _mm256_set1_ps(_cvtsh_ss(high.scale)), 1);
    }
    for (int t = 0; t < T; ++t) {
      const std::size_t at = static_cast<std::size_t>(t) * blocks + b;
      const __m512i values = _mm512_broadcast_i64x4(load_half(x.values + at * kQ8Values));
      const __m512i bias = _mm512_set1_epi32(x.biases[at]);
      const __m512 scale = _mm512_set1_ps(x.scales[at]);
      for (int p = 0; p < P; ++p) {
        const __m512 dots = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(bias, weights[p], values));
        sums[p][t] = _mm512_fmadd_ps(_mm512_mul_ps(scales[p], scale), dots, sums[p][t]);
      }
    }
  }
  for (int t = 0; t < T; ++t) {
    for (int p = 0; p < P; ++p) {
      float* to = y + static_cast<std::size_t>(t) * y_stride + static_cast<std::size_t>(2 * p);
      to[0] = VnniBytes::sum(_mm512_castps512_ps256(sums[p][t]));
      to[1] = VnniBytes::sum(_mm512_extractf32x8_ps(sums[p][t], 1));
    }
  }
}

template <int P, int T>
void pair_rows(const BlockQ8_0* w, std::size_t blocks, QuantizedRow x, std::size_t tokens, float* y,
               std::size_t y_stride) {
  for (; tokens >= static_cast<std::size_t>(T); tokens -= static_cast<std::size_t>(T)) {
    pair_tile<P, T>(w, blocks, x, y, y_stride);
    x = advance<T>(x, blocks);
    y += static_cast<std::size_t>(T) * y_stride;
  }
  if constexpr (T > 1) {
    if (tokens > 0) pair_rows<P, T - 1>(w, blocks, x, tokens, y, y_stride);
  }
}

void matmul_q8_0(const QuantizedMatmul& m) {
  constexpr int kPairs = 4;
  constexpr std::size_t kRows = 2 * kPairs;
  const BlockQ8_0* w = static_cast<const BlockQ8_0*>(m.weights);
  const std::size_t blocks = m.cols / kQ8Values;
  QuantizedMatmul rest = m;
  for (; rest.rows >= kRows; rest.rows -= kRows, w += kRows * blocks, rest.y += kRows) {
    pair_rows<kPairs, 4>(w, blocks, m.x, m.tokens, rest.y, m.y_stride);
  }
  rest.weights = w;
  quantized_matmul<VnniBytes>(rest);
}

}  // namespace

const KernelSet kAvx512VnniKernels = {
    .name = "avx512-vnni",
    .matmul_f32 = float_matmul<Avx512Float, float>,
    .matmul_f16 = float_matmul<Avx512Float, std::uint16_t>,
    .matmul_q8_0 = matmul_q8_0,
    .quantize_row = quantize_activations,
    .dot = float_dot<Avx512Float>,
    .weighted_sum = float_weighted_sum<Avx512Float>,
    .softmax = softmax_in_place,
    .silu_multiply = silu_multiply_in_place,
    .attention = &kAvx512Attention,
};

}  // namespace sluice::kernels
