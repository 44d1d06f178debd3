// For CPUs with AVX-512 F, BW, VL, DQ and VNNI. This file is compiled with those flags: it may include
// nothing but intrinsics and headers of internal linkage (see half.h).
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the undefined registers inside its own AVX-512 header for a mistake of the caller.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "worker/kernels/avx512_float.inl.h"
#include "worker/kernels/kernel_set.inl.h"
#include "worker/kernels/panel512.inl.h"
#include "worker/kernels/tables.h"

namespace sluice::kernels {
const KernelSet kAvx512VnniKernels = kernel_set<Avx512Float, Vnni512>("avx512-vnni", &kAvx512Attention);

}  // namespace sluice::kernels
