// Keys and values of the tokens that sequences have seen, in pages of a fixed number of tokens. A sequence
// holds a list of pages; pages of one sequence need not lie together, so no room is lost between sequences of
// different lengths. A page may be in several lists (see prefix_cache.h): it is free again when the last of
// them lets go of it.
//
// A KvCache and its reservations belong to one thread, except that threads of one operation may read and
// write different tokens at the same time. Pages are taken whole when a sequence starts, so a running one
// never finds the cache full.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "worker/kernels/attention.h"
#include "worker/kernels/kernels.h"

namespace sluice::ops {

using kernels::KvType;
inline constexpr std::size_t kPageTokens = kernels::kPageTokens;

std::string_view kv_type_name(KvType type);                    // F32 | F16 | I8
std::optional<KvType> kv_type_by_name(std::string_view name);  // In any case of letters.

struct KvShape {
  std::size_t layers = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  KvType type = KvType::kF16;
  std::size_t page_bytes() const { return layers * kv_heads * kernels::kv_block_bytes(type, head_dim); }
  std::size_t token_bytes() const { return (page_bytes() + kPageTokens - 1) / kPageTokens; }
};

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
  std::size_t size() const { return pages_.size(); }
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
  ~KvCache();
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  // Empty: not enough pages are free. With `shared`: these pages come first, and have one holder more.
  std::optional<KvPages> reserve(std::size_t tokens, const std::vector<std::uint32_t>& shared = {});
  // Puts `page`, which has a holder more from then on, in the place of another in the list.
  void replace(KvPages& pages, std::size_t index, std::uint32_t page);
  // A holder that has no list.
  void hold(std::uint32_t page) { ++holders_[page]; }
  void let_go(std::uint32_t page);
  std::uint32_t holders(std::uint32_t page) const { return holders_[page]; }
  // Makes all layers of page `to` equal to those of `from`.
  void copy(std::uint32_t from, std::uint32_t to);

  const KvShape& shape() const { return shape_; }
  std::size_t pages_free() const { return free_.size(); }
  std::size_t tokens_max() const { return pages_ * kPageTokens; }
  std::size_t tokens_free() const { return free_.size() * kPageTokens; }
  static std::size_t pages_for(std::size_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

  // One head's keys and values of a page in one layer, laid out as kernels/attention.h says.
  std::byte* block(std::size_t layer, std::uint32_t page, std::size_t kv_head) {
    return memory_ + ((layer * pages_ + page) * shape_.kv_heads + kv_head) * block_bytes_;
  }

  // Writes one token's keys and values of a layer: kv_heads × head_dim floats each.
  void store(const kernels::KernelSet& kernels, const KvPages& pages, std::size_t layer, std::size_t position,
             const float* keys, const float* values);

 private:
  friend class KvPages;
  KvCache(const KvShape& shape, std::size_t pages, std::byte* memory, std::size_t bytes);

  const KvShape shape_;
  const std::size_t pages_;
  const std::size_t block_bytes_;
  std::byte* const memory_;
  const std::size_t bytes_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> holders_;  // Of each page.
};

}  // namespace sluice::ops
