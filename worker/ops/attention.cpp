#include "worker/ops/attention.h"

#include <algorithm>

#include "common/base/check.h"

namespace sluice::ops {
namespace {

// Multiplications below which waking other threads costs more than it brings.
constexpr std::size_t kProductsInline = 64 * 1024;
// Queries that read a page together: enough to make converting it cheap, few enough for their states to stay
// in the first cache beside it.
constexpr std::size_t kQueriesMost = 48;
// A part of the arithmetic: another length gives other bits.
constexpr std::size_t kSpanPages = 16;
constexpr std::size_t kSpanTokens = kSpanPages * kPageTokens;
// States kept for spans that several threads compute at once; beyond it each thread keeps to its own.
constexpr std::size_t kSplitFloatsMost = 16U << 20;

bool before(const KvPages& a, std::size_t a_position, const KvPages& b, std::size_t b_position) {
  if (&a == &b) return a_position < b_position;
  const std::size_t a_pages = a_position / kPageTokens + 1;
  const std::size_t b_pages = b_position / kPageTokens + 1;
  for (std::size_t i = 0; i < std::min(a_pages, b_pages); ++i) {
    if (a.page(i) != b.page(i)) return a.page(i) < b.page(i);
  }
  return a_position < b_position;
}

}  // namespace

// One call of run(): what all its threads know.
struct Attention::Run {
  struct Block {  // Rows that begin with the same page.
    std::size_t begin = 0;
    std::size_t end = 0;
    std::size_t spans = 0;  // Of its longest row.
  };

  const Context& context;
  KvCache& cache;
  const std::vector<Row>& rows;
  std::size_t layer;
  std::size_t heads;
  float scale;
  const float* queries;
  float* out;
  std::size_t head_dim = cache.shape().head_dim;
  std::size_t group = heads / cache.shape().kv_heads;  // Query heads that share one head of keys and values.
  std::size_t state_floats = kernels::kv_state_floats(head_dim);
  std::size_t rows_most = std::max<std::size_t>(1, kQueriesMost / group);  // Of a block.
  std::vector<Block> blocks{};

  std::size_t block_floats() const { return rows_most * group * state_floats; }

  void find_blocks() {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const bool joins = !blocks.empty() && i - blocks.back().begin < rows_most &&
                         rows[i].pages->page(0) == rows[blocks.back().begin].pages->page(0);
      if (!joins) blocks.push_back({i, i, 0});
      blocks.back().end = i + 1;
      blocks.back().spans = std::max(blocks.back().spans, rows[i].position / kSpanTokens + 1);
    }
  }

  // Computes what one span brings the block's rows for one head of keys and values.
  void attend(const Block& block, std::size_t kv_head, std::size_t span, float* states,
              kernels::PageQuery* page_queries) const {
    const kernels::AttentionKernels& kernels = *context.kernels.attention;
    std::size_t last = 0;
    for (std::size_t i = block.begin; i < block.end; ++i) {
      if (rows[i].position < span * kSpanTokens) continue;
      last = std::max(last, rows[i].position);
      for (std::size_t g = 0; g < group; ++g) kernels.clear(state(block, states, i, g), head_dim);
    }
    const std::size_t end = std::min((span + 1) * kSpanPages, last / kPageTokens + 1);
    for (std::size_t page = span * kSpanPages; page < end; ++page) {
      const std::size_t at = page * kPageTokens;
      for (std::size_t i = block.begin; i < block.end;) {
        if (rows[i].position < at) {
          ++i;
          continue;
        }
        // All neighbours that have the same page here.
        const std::uint32_t id = rows[i].pages->page(page);
        std::size_t count = 0;
        for (; i < block.end && rows[i].position >= at && rows[i].pages->page(page) == id; ++i) {
          const float* own = queries + (rows[i].index * heads + kv_head * group) * head_dim;
          const std::size_t visible = std::min(kPageTokens, rows[i].position + 1 - at);
          for (std::size_t g = 0; g < group; ++g) {
            page_queries[count++] = {own + g * head_dim, state(block, states, i, g), visible};
          }
        }
        kernels.attend(
            {cache.shape().type, cache.block(layer, id, kv_head), head_dim, scale, page_queries, count});
      }
    }
  }

  float* state(const Block& block, float* states, std::size_t row, std::size_t g) const {
    return states + ((row - block.begin) * group + g) * state_floats;
  }

  void merge(const Block& block, std::size_t span, float* states, float* later) const {
    for (std::size_t i = block.begin; i < block.end; ++i) {
      if (rows[i].position < span * kSpanTokens) continue;
      for (std::size_t g = 0; g < group; ++g) {
        context.kernels.attention->merge(state(block, states, i, g), state(block, later, i, g), head_dim);
      }
    }
  }

  void finish(const Block& block, std::size_t kv_head, float* states) const {
    for (std::size_t i = block.begin; i < block.end; ++i) {
      float* own = out + (rows[i].index * heads + kv_head * group) * head_dim;
      for (std::size_t g = 0; g < group; ++g) {
        context.kernels.attention->finish(state(block, states, i, g), head_dim, own + g * head_dim);
      }
    }
  }
};

void Attention::plan(std::span<const AttentionRow> rows) {
  rows_.clear();
  multiplications_ = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows_.push_back({rows[i].pages, rows[i].position, i});
    multiplications_ += rows[i].position + 1;
  }
  std::stable_sort(rows_.begin(), rows_.end(), [](const Row& a, const Row& b) {
    return before(*a.pages, a.position, *b.pages, b.position);
  });
}

void Attention::run(const Context& context, KvCache& cache, std::size_t layer, std::size_t heads, float scale,
                    const float* queries, float* out) {
  SLUICE_CHECK(heads % cache.shape().kv_heads == 0);
  Run run{context, cache, rows_, layer, heads, scale, queries, out};
  run.find_blocks();
  const std::size_t kv_heads = cache.shape().kv_heads;
  const std::size_t threads = context.pool.threads();
  const std::size_t share = run.block_floats();
  const std::size_t shares = run.rows_most * run.group;  // Of queries_, for a thread.
  queries_.resize(std::max(queries_.size(), threads * shares));

  std::size_t spans = 0;
  for (const Run::Block& block : run.blocks) spans += block.spans;
  const std::size_t items = run.blocks.size() * kv_heads;
  const bool small = multiplications_ * heads * cache.shape().head_dim <= kProductsInline;
  const bool split = !small && threads > 1 && items < 2 * threads && spans > run.blocks.size() &&
                     spans * kv_heads * share <= kSplitFloatsMost;
  if (!split) {
    states_.resize(std::max(states_.size(), threads * 2 * share));
    context.pool.parallel_for(items, small ? items : context.pool.grain_for(items, 1),
                              [&](std::size_t begin, std::size_t end, std::size_t thread) {
                                float* const states = states_.data() + thread * 2 * share;
                                for (std::size_t item = begin; item < end; ++item) {
                                  const Run::Block& block = run.blocks[item / kv_heads];
                                  for (std::size_t span = 0; span < block.spans; ++span) {
                                    float* const to = span == 0 ? states : states + share;
                                    run.attend(block, item % kv_heads, span, to,
                                               queries_.data() + thread * shares);
                                    if (span > 0) run.merge(block, span, states, to);
                                  }
                                  run.finish(block, item % kv_heads, states);
                                }
                              });
    return;
  }

  // The same sums, with a state for each span.
  struct Piece {
    const Run::Block* block;
    std::size_t span;
  };
  std::vector<Piece> pieces;
  std::vector<std::size_t> firsts;  // Of each block, the first piece.
  for (const Run::Block& block : run.blocks) {
    firsts.push_back(pieces.size());
    for (std::size_t span = 0; span < block.spans; ++span) pieces.push_back({&block, span});
  }
  states_.resize(std::max(states_.size(), pieces.size() * kv_heads * share));
  const auto states = [&](std::size_t piece, std::size_t kv_head) {
    return states_.data() + (piece * kv_heads + kv_head) * share;
  };
  context.pool.parallel_for(
      pieces.size() * kv_heads, 1, [&](std::size_t begin, std::size_t end, std::size_t thread) {
        for (std::size_t item = begin; item < end; ++item) {
          const Piece& piece = pieces[item / kv_heads];
          run.attend(*piece.block, item % kv_heads, piece.span, states(item / kv_heads, item % kv_heads),
                     queries_.data() + thread * shares);
        }
      });
  context.pool.parallel_for(
      items, context.pool.grain_for(items, 1), [&](std::size_t begin, std::size_t end, std::size_t) {
        for (std::size_t item = begin; item < end; ++item) {
          const std::size_t block = item / kv_heads;
          float* const first = states(firsts[block], item % kv_heads);
          for (std::size_t span = 1; span < run.blocks[block].spans; ++span) {
            run.merge(run.blocks[block], span, first, states(firsts[block] + span, item % kv_heads));
          }
          run.finish(run.blocks[block], item % kv_heads, first);
        }
      });
}

}  // namespace sluice::ops
