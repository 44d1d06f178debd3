#include "worker/ops/packed_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>

namespace sluice::ops {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{64} << 20;
constexpr std::size_t kLargePage = std::size_t{2} << 20;
constexpr std::size_t kAlignment = 64;

std::size_t rounded(std::size_t bytes, std::size_t to) {
  return (bytes + to - 1) / to * to;
}

}  // namespace

PackedMemory::~PackedMemory() {
  for (const Chunk& chunk : chunks_) munmap(chunk.base, chunk.bytes);
}

std::byte* PackedMemory::allocate(std::size_t bytes) {
  bytes = rounded(bytes, kAlignment);
  if (static_cast<std::size_t>(end_ - free_) < bytes) {
    // Untouched memory stays the system's, so what is left of the last chunk costs nothing.
    const std::size_t wanted = rounded(std::max(bytes, kChunkBytes), kLargePage) + kLargePage;
    void* const base =
        mmap(nullptr, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return nullptr;
    madvise(base, wanted, MADV_HUGEPAGE);  // A hint: where there are none, small pages do.
    chunks_.push_back({base, wanted});
    const std::uintptr_t address = reinterpret_cast<std::uintptr_t>(base);
    free_ = static_cast<std::byte*>(base) + (rounded(address, kLargePage) - address);
    end_ = static_cast<std::byte*>(base) + wanted;
  }
  std::byte* const given = free_;
  free_ += bytes;
  return given;
}

}  // namespace sluice::ops
