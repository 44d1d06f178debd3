// For CPUs with AVX-512 F, BW, VL, DQ and VNNI. This file is compiled with those flags: it may include
// nothing but intrinsics and headers of internal linkage (see half.h).
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the undefined registers inside its own AVX-512 header for a mistake of the caller.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "worker/kernels/avx512_float.inl.h"
#include "worker/kernels/elementwise.inl.h"
#include "worker/kernels/float_matmul.inl.h"
#include "worker/kernels/panel512.inl.h"
#include "worker/kernels/peaks.inl.h"
#include "worker/kernels/tables.h"

namespace sluice::kernels {
const KernelSet kAvx512VnniKernels = {
    .name = "avx512-vnni",
    .matmul_f32 = float_matmul<Avx512Float, float>,
    .matmul_f16 = float_matmul<Avx512Float, std::uint16_t>,
    .matmul_packed = packed_matmuls<Vnni512>(),
    .quantize_token = quantize_activations,
    .sum_tokens = sum_tokens,
    .dot = float_dot<Avx512Float>,
    .weighted_sum = float_weighted_sum<Avx512Float>,
    .softmax = softmax_in_place,
    .silu_multiply = silu_multiply_in_place,
    .scan = scan_numbers,
    .sum_of_exp = sum_of_exp,
    .attention = &kAvx512Attention,
    .peaks = peaks<Vnni512>(),
};

}  // namespace sluice::kernels
