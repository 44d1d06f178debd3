// A table of functions out of one instruction set's vectors: `Float` as float_matmul.inl.h wants them,
// `Panel` as packed_matmul.inl.h and peaks.inl.h do. For files compiled for that set; internal linkage for
// the reason in half.h.
//
// Every member is filled here and nowhere else, so that a table can't lack one that others have.
#pragma once

#include <string_view>

#include "worker/kernels/elementwise.inl.h"
#include "worker/kernels/float_matmul.inl.h"
#include "worker/kernels/kernels.h"
#include "worker/kernels/packed_matmul.inl.h"
#include "worker/kernels/peaks.inl.h"

namespace sluice::kernels {
namespace {

template <class Float, class Panel>
constexpr KernelSet kernel_set(std::string_view name, const AttentionKernels* attention) {
  return {
      .name = name,
      .matmul_f32 = float_matmul<Float, float>,
      .matmul_f16 = float_matmul<Float, std::uint16_t>,
      .matmul_packed = packed_matmuls<Panel>(),
      .quantize_token = quantize_activations,
      .sum_tokens = sum_tokens,
      .dot = float_dot<Float>,
      .softmax = softmax_in_place,
      .silu_multiply = silu_multiply_in_place,
      .scan = scan_numbers,
      .sum_of_exp = sum_of_exp,
      .attention = attention,
      .peaks = peaks<Panel>(),
  };
}

}  // namespace
}  // namespace sluice::kernels
