#include "worker/kernels/formats/format.h"

#include <array>
#include <cstring>

#include "worker/kernels/formats/bf16.h"
#include "worker/kernels/formats/families.h"
#include "worker/kernels/half.h"
#include "worker/kernels/q8_0.h"

namespace sluice::kernels {
namespace {

template <class Number>
Number number_at(const std::byte* from, std::size_t index) {
  Number number;
  std::memcpy(&number, from + index * sizeof number, sizeof number);
  return number;
}

template <class Number, class Convert>
void convert_all(const float* from, std::size_t values, std::byte* to, Convert convert) {
  for (std::size_t i = 0; i < values; ++i) {
    const Number number = convert(from[i]);
    std::memcpy(to + i * sizeof number, &number, sizeof number);
  }
}

// Counted rather than returned at the first, so that the loop becomes vectors.
template <class Number>
bool no_exponent_full(const std::byte* from, std::size_t values, Number exponent) {
  std::size_t bad = 0;
  for (std::size_t i = 0; i < values; ++i) {
    bad += (number_at<Number>(from, i) & exponent) == exponent ? 1 : 0;
  }
  return bad == 0;
}

template <class Block, std::size_t kValues>
bool scales_finite(const std::byte* from, std::size_t values) {
  std::size_t bad = 0;
  for (std::size_t b = 0; b < values / kValues; ++b) {
    bad +=
        half_finite(number_at<std::uint16_t>(from + b * sizeof(Block) + offsetof(Block, scale), 0)) ? 0 : 1;
  }
  return bad == 0;
}

template <class Block, std::size_t kValues>
bool scales_and_mins_finite(const std::byte* from, std::size_t values) {
  std::size_t bad = 0;
  for (std::size_t b = 0; b < values / kValues; ++b) {
    const std::byte* block = from + b * sizeof(Block);
    bad += half_finite(number_at<std::uint16_t>(block + offsetof(Block, scale), 0)) ? 0 : 1;
    bad += half_finite(number_at<std::uint16_t>(block + offsetof(Block, min), 0)) ? 0 : 1;
  }
  return bad == 0;
}

void f32_from(const float* from, std::size_t values, const float*, std::byte* to) {
  std::memcpy(to, from, values * sizeof(float));
}
void f32_to(const std::byte* from, std::size_t values, float* to) {
  std::memcpy(to, from, values * sizeof(float));
}
bool f32_finite(const std::byte* from, std::size_t values) {
  return no_exponent_full<std::uint32_t>(from, values, 0x7F800000U);
}

void f16_from(const float* from, std::size_t values, const float*, std::byte* to) {
  convert_all<std::uint16_t>(from, values, to, float_to_half);
}
void f16_to(const std::byte* from, std::size_t values, float* to) {
  for (std::size_t i = 0; i < values; ++i) to[i] = half_to_float(number_at<std::uint16_t>(from, i));
}
bool f16_finite(const std::byte* from, std::size_t values) {
  return no_exponent_full<std::uint16_t>(from, values, 0x7C00U);
}

void bf16_from(const float* from, std::size_t values, const float*, std::byte* to) {
  convert_all<std::uint16_t>(from, values, to, float_to_bf16);
}
void bf16_to(const std::byte* from, std::size_t values, float* to) {
  for (std::size_t i = 0; i < values; ++i) to[i] = bf16_to_float(number_at<std::uint16_t>(from, i));
}
bool bf16_finite(const std::byte* from, std::size_t values) {
  return no_exponent_full<std::uint16_t>(from, values, 0x7F80U);
}

void q8_0_from(const float* from, std::size_t values, const float*, std::byte* to) {
  for (std::size_t b = 0; b < values / kSmallBlock; ++b) {
    BlockQ8_0 block;
    quantize_q8_0(from + b * kSmallBlock, kSmallBlock, &block);
    if (!half_finite(block.scale)) {
      // Numbers beyond 127 times the largest half: cut, like every other format.
      block.scale = 0x7BFF;
      const float inverse = 1.0F / half_to_float(block.scale);
      for (std::size_t i = 0; i < kSmallBlock; ++i) {
        const float code = from[b * kSmallBlock + i] * inverse;
        block.values[i] = static_cast<std::int8_t>(code > 127.0F ? 127.0F : code < -127.0F ? -127.0F : code);
      }
    }
    put_block(block, to, b);
  }
}
void q8_0_to(const std::byte* from, std::size_t values, float* to) {
  dequantize_q8_0(reinterpret_cast<const BlockQ8_0*>(from), values, to);
}

constexpr std::array kFormats = {
    Format{GgmlType::kF32, f32_from, f32_to, f32_finite},
    Format{GgmlType::kF16, f16_from, f16_to, f16_finite},
    Format{GgmlType::kBF16, bf16_from, bf16_to, bf16_finite},
    Format{GgmlType::kQ8_0, q8_0_from, q8_0_to, scales_finite<BlockQ8_0, kSmallBlock>},
    Format{GgmlType::kQ6_K, quantize_q6_k, dequantize_q6_k, scales_finite<BlockQ6_K, kSuperBlock>},
    Format{GgmlType::kQ5_1, quantize_q5_1, dequantize_q5_1, scales_and_mins_finite<BlockQ5_1, kSmallBlock>},
    Format{GgmlType::kQ5_K, quantize_q5_k, dequantize_q5_k, scales_and_mins_finite<BlockQ5_K, kSuperBlock>},
    Format{GgmlType::kQ5_0, quantize_q5_0, dequantize_q5_0, scales_finite<BlockQ5_0, kSmallBlock>},
    Format{GgmlType::kQ4_1, quantize_q4_1, dequantize_q4_1, scales_and_mins_finite<BlockQ4_1, kSmallBlock>},
    Format{GgmlType::kQ4_K, quantize_q4_k, dequantize_q4_k, scales_and_mins_finite<BlockQ4_K, kSuperBlock>},
    Format{GgmlType::kQ4_0, quantize_q4_0, dequantize_q4_0, scales_finite<BlockQ4_0, kSmallBlock>},
    Format{GgmlType::kQ3_K, quantize_q3_k, dequantize_q3_k, scales_finite<BlockQ3_K, kSuperBlock>},
    Format{GgmlType::kQ2_K, quantize_q2_k, dequantize_q2_k, scales_and_mins_finite<BlockQ2_K, kSuperBlock>},
};

}  // namespace

std::span<const Format> formats() {
  return kFormats;
}

const Format* find_format(GgmlType type) {
  for (const Format& format : kFormats) {
    if (format.type == type) return &format;
  }
  return nullptr;
}

std::string format_names() {
  std::string names;
  for (const Format& format : kFormats) {
    if (!names.empty()) names += ", ";
    names += ggml_type_name(format.type);
  }
  return names;
}

}  // namespace sluice::kernels
