#include "worker/ops/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace sluice::ops {
namespace {

constexpr std::size_t kHeads = 6;
constexpr std::size_t kKvHeads = 2;
constexpr std::size_t kDim = 24;

struct Sequence {
  std::vector<std::vector<float>> keys, values, queries;  // [position]
  KvPages pages;
};

std::vector<float> normals(std::mt19937& random, std::size_t n) {
  std::normal_distribution<float> normal(0.0F, 1.0F);
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

Sequence filled(KvCache& cache, std::size_t layer, std::size_t positions, unsigned seed) {
  std::mt19937 random(seed);
  Sequence s;
  s.pages = *cache.reserve(positions);
  for (std::size_t p = 0; p < positions; ++p) {
    s.keys.push_back(normals(random, kKvHeads * kDim));
    s.values.push_back(normals(random, kKvHeads * kDim));
    s.queries.push_back(normals(random, kHeads * kDim));
    cache.store(s.pages, layer, p, s.keys.back().data(), s.values.back().data());
  }
  return s;
}

std::vector<double> slow_attention(const Sequence& s, std::size_t position, double scale) {
  std::vector<double> out(kHeads * kDim, 0.0);
  for (std::size_t head = 0; head < kHeads; ++head) {
    const std::size_t kv = head / (kHeads / kKvHeads);
    std::vector<double> weights;
    double sum = 0.0;
    for (std::size_t p = 0; p <= position; ++p) {
      double score = 0.0;
      for (std::size_t i = 0; i < kDim; ++i) {
        score += static_cast<double>(s.queries[position][head * kDim + i]) * s.keys[p][kv * kDim + i];
      }
      weights.push_back(std::exp(score * scale));
      sum += weights.back();
    }
    for (std::size_t p = 0; p <= position; ++p) {
      for (std::size_t i = 0; i < kDim; ++i) {
        out[head * kDim + i] += weights[p] / sum * s.values[p][kv * kDim + i];
      }
    }
  }
  return out;
}

TEST(Attention, RowsOfSeveralSequencesEqualTheSlowAttention) {
  auto cache = KvCache::make({.layers = 2, .kv_heads = kKvHeads, .head_dim = kDim}, 40 * kPageTokens);
  ASSERT_TRUE(cache.has_value());
  std::vector<Sequence> sequences;
  sequences.push_back(filled(**cache, 1, 100, 1));
  sequences.push_back(filled(**cache, 1, 1, 2));
  sequences.push_back(filled(**cache, 1, 2 * kPageTokens, 3));
  const float scale = 1.0F / std::sqrt(static_cast<float>(kDim));
  for (const kernels::KernelSet* set : kernels::kernel_sets()) {
    for (std::size_t threads : {1, 3}) {
      ThreadPool pool(threads);
      std::vector<AttentionRow> rows;
      std::vector<std::pair<const Sequence*, std::size_t>> who;
      for (const Sequence& s : sequences) {
        for (std::size_t p = 0; p < s.keys.size(); p += 3) who.emplace_back(&s, p);
      }
      std::vector<std::vector<float>> out(who.size(), std::vector<float>(kHeads * kDim));
      for (std::size_t i = 0; i < who.size(); ++i) {
        rows.push_back({&who[i].first->pages, who[i].second, who[i].first->queries[who[i].second].data(),
                        out[i].data()});
      }
      std::vector<float> scratch;
      attention({*set, pool}, **cache, 1, rows, kHeads, scale, scratch);
      for (std::size_t i = 0; i < who.size(); ++i) {
        const std::vector<double> expected = slow_attention(*who[i].first, who[i].second, scale);
        for (std::size_t k = 0; k < expected.size(); ++k)
          ASSERT_NEAR(out[i][k], expected[k], 2e-5) << set->name;
        // Alone: the same bits.
        std::vector<float> alone(kHeads * kDim);
        const AttentionRow row{rows[i].pages, rows[i].position, rows[i].queries, alone.data()};
        attention({*set, pool}, **cache, 1, {&row, 1}, kHeads, scale, scratch);
        ASSERT_EQ(alone, out[i]);
      }
    }
  }
}

}  // namespace
}  // namespace sluice::ops
