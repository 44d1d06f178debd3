// Causal attention with grouped queries over a paged cache.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "worker/ops/context.h"
#include "worker/ops/kv_cache.h"

namespace sluice::ops {

// One token that attends. Its own keys and values, and those of every earlier position, are in the cache when
// its output is computed.
struct AttentionRow {
  const KvPages* pages = nullptr;
  std::size_t position = 0;
};

// The attention of one step: who reads which page, found out once for all layers.
//
// Each row sees the positions up to its own, of its own sequence: its output depends on nothing else. Rows
// that have pages in common (tokens of one prompt, sequences with a shared prefix) read each of these once,
// together. Contexts are walked in spans of a fixed number of tokens, which threads share out where there are
// few rows.
//
// Belongs to one thread; keeps its working memory between steps.
class Attention {
 public:
  // `rows` may change after the call; the lists of pages may not before the last run().
  void plan(std::span<const AttentionRow> rows);

  // `queries` and `out` hold heads × head_dim floats for each row. `heads` is a multiple of the cache's
  // kv_heads.
  void run(const Context& context, KvCache& cache, std::size_t layer, std::size_t heads, float scale,
           const float* queries, float* out);

 private:
  struct Row {
    const KvPages* pages = nullptr;
    std::size_t position = 0;
    std::size_t index = 0;  // Among the rows of plan().
  };
  struct Run;

  std::vector<Row> rows_;            // In the order of their pages.
  std::size_t multiplications_ = 0;  // Positions seen by all rows together.
  std::vector<float> states_;
  std::vector<kernels::PageQuery> queries_;
};

}  // namespace sluice::ops
