#include "worker/ops/kv_cache.h"

#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "common/base/check.h"

namespace sluice::ops {

KvPages::KvPages(KvPages&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)), pages_(std::move(other.pages_)) {
  other.pages_.clear();
}

KvPages& KvPages::operator=(KvPages&& other) noexcept {
  if (this != &other) {
    release();
    cache_ = std::exchange(other.cache_, nullptr);
    pages_ = std::move(other.pages_);
    other.pages_.clear();
  }
  return *this;
}

void KvPages::release() {
  if (cache_ != nullptr) cache_->free_.insert(cache_->free_.end(), pages_.begin(), pages_.end());
  cache_ = nullptr;
  pages_.clear();
}

Result<std::unique_ptr<KvCache>> KvCache::make(const KvShape& shape, std::size_t tokens) {
  const std::size_t pages = tokens / kPageTokens;
  const std::size_t page_floats = shape.token_bytes() / sizeof(float) * kPageTokens;
  if (pages == 0 || pages > std::numeric_limits<std::uint32_t>::max()) {
    return fail(ErrorCode::kExhausted, "a KV cache of " + std::to_string(tokens) + " tokens is not possible");
  }
  if (pages > std::numeric_limits<std::size_t>::max() / sizeof(float) / page_floats) {
    return fail(ErrorCode::kExhausted, "the KV cache is larger than any memory");
  }
  // Not set to zero: pages are written before they are read, and untouched memory stays the system's.
  std::unique_ptr<float[]> memory(new (std::nothrow) float[pages * page_floats]);
  if (memory == nullptr) {
    return fail(ErrorCode::kExhausted, "no memory for a KV cache of " + std::to_string(tokens) + " tokens");
  }
  return std::unique_ptr<KvCache>(new KvCache(shape, pages, std::move(memory)));
}

KvCache::KvCache(const KvShape& shape, std::size_t pages, std::unique_ptr<float[]> memory)
    : shape_(shape), pages_(pages), memory_(std::move(memory)) {
  // Handed out from the back: low pages first, and what was used last is used again, still warm.
  for (std::size_t page = pages; page > 0; --page) free_.push_back(static_cast<std::uint32_t>(page - 1));
}

std::optional<KvPages> KvCache::reserve(std::size_t tokens) {
  const std::size_t wanted = pages_for(tokens);
  if (wanted > free_.size()) return std::nullopt;
  KvPages pages;
  pages.cache_ = this;
  pages.pages_.assign(free_.rbegin(), free_.rbegin() + static_cast<std::ptrdiff_t>(wanted));
  free_.resize(free_.size() - wanted);
  return pages;
}

void KvCache::store(const KvPages& pages, std::size_t layer, std::size_t position, const float* keys_from,
                    const float* values_from) {
  SLUICE_CHECK(position < pages.tokens());
  const std::uint32_t page = pages.page(position / kPageTokens);
  const std::size_t offset = position % kPageTokens * shape_.head_dim;
  for (std::size_t head = 0; head < shape_.kv_heads; ++head) {
    std::memcpy(keys(layer, page, head) + offset, keys_from + head * shape_.head_dim,
                shape_.head_dim * sizeof(float));
    std::memcpy(values(layer, page, head) + offset, values_from + head * shape_.head_dim,
                shape_.head_dim * sizeof(float));
  }
}

}  // namespace sluice::ops
