// Keys and values of the tokens that sequences have seen, in pages of a fixed number of tokens. A sequence
// holds a list of pages; pages of one sequence need not lie together, so no room is lost between sequences of
// different lengths, and a page could be shared by several of them.
//
// A KvCache and its reservations belong to one thread, except that threads of one operation may read and
// write different tokens at the same time. Pages are taken whole when a sequence starts, so a running one
// never finds the cache full.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "common/base/result.h"

namespace sluice::ops {

struct KvShape {
  std::size_t layers = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  std::size_t token_bytes() const { return 2 * layers * kv_heads * head_dim * sizeof(float); }
};

inline constexpr std::size_t kPageTokens = 32;

class KvCache;

// The pages of one sequence. Gives them back when it ends; must not outlive its cache.
class KvPages {
 public:
  KvPages() = default;
  ~KvPages() { release(); }
  KvPages(KvPages&& other) noexcept;
  KvPages& operator=(KvPages&& other) noexcept;
  KvPages(const KvPages&) = delete;
  KvPages& operator=(const KvPages&) = delete;

  std::size_t tokens() const { return pages_.size() * kPageTokens; }
  std::uint32_t page(std::size_t index) const { return pages_[index]; }
  void release();

 private:
  friend class KvCache;
  KvCache* cache_ = nullptr;
  std::vector<std::uint32_t> pages_;
};

class KvCache {
 public:
  // Room for `tokens` tokens, rounded down to pages. The memory is the system's until it is first written.
  // kExhausted: there isn't that much.
  static Result<std::unique_ptr<KvCache>> make(const KvShape& shape, std::size_t tokens);
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  // Empty: not enough pages are free.
  std::optional<KvPages> reserve(std::size_t tokens);

  const KvShape& shape() const { return shape_; }
  std::size_t tokens_max() const { return pages_ * kPageTokens; }
  std::size_t tokens_free() const { return free_.size() * kPageTokens; }
  static std::size_t pages_for(std::size_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

  // The head's kPageTokens keys (values) of a page, each head_dim floats, without gaps.
  float* keys(std::size_t layer, std::uint32_t page, std::size_t kv_head) {
    return at(layer, page, kv_head, 0);
  }
  float* values(std::size_t layer, std::uint32_t page, std::size_t kv_head) {
    return at(layer, page, kv_head, 1);
  }

  // Writes one token's keys and values of a layer: kv_heads × head_dim floats each.
  void store(const KvPages& pages, std::size_t layer, std::size_t position, const float* keys,
             const float* values);

 private:
  friend class KvPages;
  KvCache(const KvShape& shape, std::size_t pages, std::unique_ptr<float[]> memory);
  float* at(std::size_t layer, std::uint32_t page, std::size_t kv_head, std::size_t which) {
    return memory_.get() + (((layer * pages_ + page) * shape_.kv_heads + kv_head) * 2 + which) * kPageTokens *
                               shape_.head_dim;
  }

  const KvShape shape_;
  const std::size_t pages_;
  std::unique_ptr<float[]> memory_;
  std::vector<std::uint32_t> free_;
};

}  // namespace sluice::ops
