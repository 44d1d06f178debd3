// The tables that exist in this build. Private to the folder: which of them may be called is for kernels.cpp.
#pragma once

#include "worker/kernels/kernels.h"

namespace sluice::kernels {

extern const KernelSet kPortableKernels;
extern const AttentionKernels kPortableAttention;
#if defined(__x86_64__)
extern const AttentionKernels kAvx2Attention;    // AVX2, FMA, F16C
extern const AttentionKernels kAvx512Attention;  // AVX-512 F, BW, VL, DQ
extern const KernelSet kAvx2Kernels;             // AVX2, FMA, F16C
extern const KernelSet kAvxVnniKernels;          // The same and AVX-VNNI
extern const KernelSet kAmxInt8Kernels;          // The next one's and AMX-TILE, AMX-INT8
extern const KernelSet kAvx512VnniKernels;       // AVX-512 F, BW, VL, DQ, VNNI
#endif

}  // namespace sluice::kernels
