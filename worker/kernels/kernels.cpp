#include "worker/kernels/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

#include <vector>

#include "worker/kernels/tables.h"

namespace sluice::kernels {
namespace {

#if defined(__x86_64__)
// Not among the names that every compiler's __builtin_cpu_supports knows. It uses AVX's registers, so AVX's
// check covers what the operating system saves.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

// AVX-VNNI's registers are AVX's, as above.
bool has_avx_vnni() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & (1U << 4)) != 0;
}

// AMX's registers are large: the operating system saves them only for processes that asked for it, once.
bool has_amx_int8() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kAmx = 1U << 24 | 1U << 25;  // AMX-TILE, AMX-INT8
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (edx & kAmx) != kAmx) return false;
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // The state component XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

std::vector<const KernelSet*> usable_sets() {
  std::vector<const KernelSet*> sets;
#if defined(__x86_64__)
  // These ask the operating system too (XGETBV): a CPU whose wide registers aren't saved doesn't count.
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  const bool avx512_vnni = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                           __builtin_cpu_supports("avx512vnni");
  if (avx512_vnni && has_amx_int8()) sets.push_back(&kAmxInt8Kernels);
  if (avx512_vnni) sets.push_back(&kAvx512VnniKernels);
  if (avx2 && has_avx_vnni()) sets.push_back(&kAvxVnniKernels);
  if (avx2) sets.push_back(&kAvx2Kernels);
#endif
  sets.push_back(&kPortableKernels);
  return sets;
}

}  // namespace

std::span<const KernelSet* const> kernel_sets() {
  static const std::vector<const KernelSet*> sets = usable_sets();
  return sets;
}

TokenSums token_sums(PackedType type) {
  const PackedLayout layout = packed_layout(type);
  if (layout.minima) return layout.parts == 1 ? TokenSums::kFloats : TokenSums::kHalfFloats;
  return layout.parts == 1 ? TokenSums::kBiases : TokenSums::kHalfBiases;
}

const KernelSet* find_kernel_set(std::string_view name) {
  for (const KernelSet* set : kernel_sets()) {
    if (set->name == name) return set;
  }
  return nullptr;
}

}  // namespace sluice::kernels
