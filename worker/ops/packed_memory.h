// The memory of packed matrices: pieces of it are handed out one after the other and live as long as the
// whole. Taken from the system in large chunks on large pages, since a step of the engine walks through all
// of it.
//
// allocate() belongs to one thread at a time; what it returns may be used by any.
#pragma once

#include <cstddef>
#include <vector>

namespace sluice::ops {

class PackedMemory {
 public:
  PackedMemory() = default;
  ~PackedMemory();
  PackedMemory(const PackedMemory&) = delete;
  PackedMemory& operator=(const PackedMemory&) = delete;

  // `bytes` bytes of zeros, aligned to 64. nullptr: the system has no more.
  std::byte* allocate(std::size_t bytes);

 private:
  struct Chunk {
    void* base;
    std::size_t bytes;
  };
  std::vector<Chunk> chunks_;
  std::byte* free_ = nullptr;
  std::byte* end_ = nullptr;
};

}  // namespace sluice::ops
