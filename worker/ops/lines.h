// Vectors that begin where a line of the cache does: what kernels read 32 or 64 bytes at a time lies across
// no border of a line then, which costs tile loads more than anything else.
//
// As safe for concurrent use as std::vector.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace sluice::ops {

template <class T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};

  LineAllocator() = default;
  template <class Other>
  LineAllocator(const LineAllocator<Other>&) {}
  T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kLine)); }
  void deallocate(T* at, std::size_t) { ::operator delete(at, kLine); }
  bool operator==(const LineAllocator&) const { return true; }
};

template <class T>
using LineVector = std::vector<T, LineAllocator<T>>;

}  // namespace sluice::ops
