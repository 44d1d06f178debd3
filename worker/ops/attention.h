// Causal attention with grouped queries over a paged cache.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "worker/ops/context.h"
#include "worker/ops/kv_cache.h"

namespace sluice::ops {

// One token's queries. Its own keys and values, and those of every earlier position, are in the cache
// already.
struct AttentionRow {
  const KvPages* pages = nullptr;
  std::size_t position = 0;
  const float* queries = nullptr;  // heads × head_dim
  float* out = nullptr;            // heads × head_dim
};

// Each row sees the positions up to its own, of its own sequence: its output depends on nothing else.
// `scratch` is working memory, kept by the caller between calls.
void attention(const Context& context, KvCache& cache, std::size_t layer, std::span<const AttentionRow> rows,
               std::size_t heads, float scale, std::vector<float>& scratch);

}  // namespace sluice::ops
