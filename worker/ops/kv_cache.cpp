#include "worker/ops/kv_cache.h"

#include <sys/mman.h>

#include <array>
#include <cctype>
#include <cstring>
#include <limits>
#include <utility>

#include "common/base/check.h"

namespace sluice::ops {
namespace {

constexpr std::array<std::pair<std::string_view, KvType>, 3> kTypeNames{{
    {"F32", KvType::kF32},
    {"F16", KvType::kF16},
    {"I8", KvType::kI8},
}};

// False: too large for a size.
bool multiply(std::size_t a, std::size_t b, std::size_t& product) {
  return !__builtin_mul_overflow(a, b, &product);
}

}  // namespace

std::string_view kv_type_name(KvType type) {
  for (const auto& [name, known] : kTypeNames) {
    if (known == type) return name;
  }
  return "unknown";
}

std::optional<KvType> kv_type_by_name(std::string_view name) {
  std::string upper;
  for (const char c : name) upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  for (const auto& [known, type] : kTypeNames) {
    if (known == upper) return type;
  }
  return std::nullopt;
}

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
  for (const std::uint32_t page : pages_) cache_->let_go(page);
  cache_ = nullptr;
  pages_.clear();
}

Result<std::unique_ptr<KvCache>> KvCache::make(const KvShape& shape, std::size_t tokens) {
  const std::size_t pages = tokens / kPageTokens;
  if (pages == 0 || pages > std::numeric_limits<std::uint32_t>::max()) {
    return fail(ErrorCode::kExhausted, "a KV cache of " + std::to_string(tokens) + " tokens is not possible");
  }
  std::size_t bytes = kernels::kv_block_bytes(shape.type, shape.head_dim);
  if (!multiply(bytes, shape.kv_heads, bytes) || !multiply(bytes, shape.layers, bytes) ||
      !multiply(bytes, pages, bytes)) {
    return fail(ErrorCode::kExhausted, "the KV cache is larger than any memory");
  }
  // Fresh from the system: blocks are aligned for vectors, and untouched memory stays the system's.
  void* const memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return fail(ErrorCode::kExhausted, "no memory for a KV cache of " + std::to_string(tokens) + " tokens");
  }
  return std::unique_ptr<KvCache>(new KvCache(shape, pages, static_cast<std::byte*>(memory), bytes));
}

KvCache::KvCache(const KvShape& shape, std::size_t pages, std::byte* memory, std::size_t bytes)
    : shape_(shape),
      pages_(pages),
      block_bytes_(kernels::kv_block_bytes(shape.type, shape.head_dim)),
      memory_(memory),
      bytes_(bytes),
      holders_(pages, 0) {
  // Handed out from the back: low pages first, and what was used last is used again, still warm.
  for (std::size_t page = pages; page > 0; --page) free_.push_back(static_cast<std::uint32_t>(page - 1));
}

KvCache::~KvCache() {
  munmap(memory_, bytes_);
}

std::optional<KvPages> KvCache::reserve(std::size_t tokens, const std::vector<std::uint32_t>& shared) {
  const std::size_t wanted = pages_for(tokens);
  SLUICE_CHECK(shared.size() <= wanted);
  const std::size_t own = wanted - shared.size();
  if (own > free_.size()) return std::nullopt;
  KvPages pages;
  pages.cache_ = this;
  pages.pages_ = shared;
  pages.pages_.insert(pages.pages_.end(), free_.rbegin(), free_.rbegin() + static_cast<std::ptrdiff_t>(own));
  free_.resize(free_.size() - own);
  for (const std::uint32_t page : pages.pages_) ++holders_[page];
  return pages;
}

void KvCache::let_go(std::uint32_t page) {
  SLUICE_CHECK(holders_[page] > 0);
  if (--holders_[page] == 0) free_.push_back(page);
}

void KvCache::replace(KvPages& pages, std::size_t index, std::uint32_t page) {
  hold(page);
  let_go(std::exchange(pages.pages_[index], page));
}

void KvCache::copy(std::uint32_t from, std::uint32_t to) {
  for (std::size_t layer = 0; layer < shape_.layers; ++layer) {
    std::memcpy(block(layer, to, 0), block(layer, from, 0), shape_.kv_heads * block_bytes_);
  }
}

void KvCache::store(const kernels::KernelSet& kernels, const KvPages& pages, std::size_t layer,
                    std::size_t position, const float* keys, const float* values) {
  SLUICE_CHECK(position < pages.tokens());
  const std::uint32_t page = pages.page(position / kPageTokens);
  for (std::size_t head = 0; head < shape_.kv_heads; ++head) {
    kernels.attention->store(shape_.type, block(layer, page, head), shape_.head_dim, position % kPageTokens,
                             keys + head * shape_.head_dim, values + head * shape_.head_dim);
  }
}

}  // namespace sluice::ops
