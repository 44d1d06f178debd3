// Attention over a paged cache: how the keys and values of a page lie in memory, and the kernels that write
// and read them.
//
// A page holds kPageTokens tokens. For each layer and each head of keys and values it has one *block*: keys
// first, with the tokens side by side ([dim][token]), so that scores of neighbouring tokens are neighbouring
// lanes and need no sum across lanes; then values, a row for each token ([token][padded dim], the padding
// zero). Of int8, groups of 32 numbers of a token share one half-precision scale; the scales stand before
// what they scale: [group][token] for keys, [token][group] for values.
//
// Numerics. One query's way over the pages is always the same: each score is one chain of additions over the
// dimensions; each page brings its largest score, its weights and its weighted values, in the order of pages
// (softmax with a running maximum); spans of pages are merged in their order. So the bits of a query's
// output don't depend on which queries are computed beside it.
//
// Pure functions over memory that the caller owns: safe for concurrent use as long as outputs don't overlap.
// Everything inline here has internal linkage for the reason in half.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::kernels {

enum class KvType { kF32, kF16, kI8 };

static constexpr std::size_t kPageTokens = 32;
static constexpr std::size_t kKvGroup =
    32;  // Numbers that share a scale, and what rows of values are padded to.

static constexpr std::size_t kv_groups(std::size_t head_dim) {
  return (head_dim + kKvGroup - 1) / kKvGroup;
}
static constexpr std::size_t kv_padded(std::size_t head_dim) {
  return kv_groups(head_dim) * kKvGroup;
}
static constexpr std::size_t kv_element_bytes(KvType type) {
  return type == KvType::kF32 ? 4 : type == KvType::kF16 ? 2 : 1;
}
static constexpr std::size_t kv_scale_bytes(KvType type, std::size_t head_dim) {
  return type == KvType::kI8 ? kv_groups(head_dim) * kPageTokens * sizeof(std::uint16_t) : 0;
}
static constexpr std::size_t kv_keys_bytes(KvType type, std::size_t head_dim) {
  return kv_scale_bytes(type, head_dim) + head_dim * kPageTokens * kv_element_bytes(type);
}
static constexpr std::size_t kv_block_bytes(KvType type, std::size_t head_dim) {
  return kv_keys_bytes(type, head_dim) + kv_scale_bytes(type, head_dim) +
         kv_padded(head_dim) * kPageTokens * kv_element_bytes(type);
}

// What is known of a query's output after some pages: the largest score [0], sixteen partial sums of the
// weights [16, 32), then the weighted values, padded. Starts as kv_state_clear leaves it.
static constexpr std::size_t kStateSums = 16;
static constexpr std::size_t kStateValues = 32;
static constexpr std::size_t kv_state_floats(std::size_t head_dim) {
  return kStateValues + kv_padded(head_dim);
}

struct PageQuery {
  const float* query = nullptr;  // head_dim
  float* state = nullptr;        // kv_state_floats
  std::size_t visible = 0;       // The first so many tokens of the page count; 0 leaves the state as it is.
};

struct PageAttention {
  KvType type = KvType::kF16;
  const std::byte* block = nullptr;
  std::size_t head_dim = 0;
  float scale = 1.0F;  // Of the scores.
  const PageQuery* queries = nullptr;
  std::size_t count = 0;
};

struct AttentionKernels {
  // Takes a page into the states of its queries.
  void (*attend)(const PageAttention&);
  // Writes the keys and values (head_dim floats each) of token `slot` of a block. Half precision: beyond its
  // range the largest number; what isn't a number stays none in every type.
  void (*store)(KvType type, std::byte* block, std::size_t head_dim, std::size_t slot, const float* key,
                const float* value);
  void (*clear)(float* state, std::size_t head_dim);
  // Adds the state of later pages. `state` may be a clear one only if `later` has seen no page either.
  void (*merge)(float* state, const float* later, std::size_t head_dim);
  // Writes head_dim floats. At least one page was seen.
  void (*finish)(const float* state, std::size_t head_dim, float* out);
};

}  // namespace sluice::kernels
