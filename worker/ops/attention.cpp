#include "worker/ops/attention.h"

#include <algorithm>
#include <cstring>

namespace sluice::ops {
namespace {

// Multiplications below which waking other threads costs more than it brings.
constexpr std::size_t kProductsInline = 32 * 1024;

}  // namespace

void attention(const Context& context, KvCache& cache, std::size_t layer, std::span<const AttentionRow> rows,
               std::size_t heads, float scale, std::vector<float>& scratch) {
  const KvShape& shape = cache.shape();
  const std::size_t group = heads / shape.kv_heads;  // Query heads that share one head of keys and values.
  const std::size_t head_dim = shape.head_dim;
  std::size_t positions_max = 0;
  std::size_t positions_sum = 0;
  for (const AttentionRow& row : rows) {
    positions_max = std::max(positions_max, row.position + 1);
    positions_sum += row.position + 1;
  }
  const std::size_t stride = (positions_max + 15) / 16 * 16;
  const std::size_t share = group * stride;
  scratch.resize(std::max(scratch.size(), context.pool.threads() * share));

  const auto attend = [&](std::size_t begin, std::size_t end, std::size_t thread) {
    float* scores = scratch.data() + thread * share;
    for (std::size_t item = begin; item < end; ++item) {
      const AttentionRow& row = rows[item / shape.kv_heads];
      const std::size_t kv_head = item % shape.kv_heads;
      const float* queries = row.queries + kv_head * group * head_dim;
      float* out = row.out + kv_head * group * head_dim;
      const std::size_t positions = row.position + 1;
      const auto page_tokens = [&](std::size_t at) { return std::min(kPageTokens, positions - at); };
      for (std::size_t at = 0; at < positions; at += kPageTokens) {
        const float* keys = cache.keys(layer, row.pages->page(at / kPageTokens), kv_head);
        context.kernels.matmul_f32({keys, page_tokens(at), head_dim, queries, group, scores + at, stride});
      }
      std::memset(out, 0, group * head_dim * sizeof(float));
      for (std::size_t head = 0; head < group; ++head) {
        float* own = scores + head * stride;
        for (std::size_t i = 0; i < positions; ++i) own[i] *= scale;
        context.kernels.softmax(own, positions);
      }
      for (std::size_t at = 0; at < positions; at += kPageTokens) {
        const float* values = cache.values(layer, row.pages->page(at / kPageTokens), kv_head);
        for (std::size_t head = 0; head < group; ++head) {
          context.kernels.weighted_sum(scores + head * stride + at, values, page_tokens(at), head_dim,
                                       out + head * head_dim);
        }
      }
    }
  };
  const std::size_t items = rows.size() * shape.kv_heads;
  const bool small = positions_sum * heads * head_dim <= kProductsInline;
  context.pool.parallel_for(items, small ? items : context.pool.grain_for(items, 1), attend);
}

}  // namespace sluice::ops
