#include "worker/ops/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

namespace sluice::ops {
namespace {

struct Case {
  std::size_t heads;
  std::size_t kv_heads;
  std::size_t dim;
  KvType type;
};

const kernels::KernelSet& best() {
  return *kernels::kernel_sets().front();
}

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

// With `prefix`, its first tokens are those of that sequence, and their whole pages are shared.
Sequence filled(const Case& c, KvCache& cache, std::size_t layer, std::size_t positions, unsigned seed,
                const Sequence* prefix = nullptr, std::size_t prefix_tokens = 0) {
  std::mt19937 random(seed);
  Sequence s;
  std::vector<std::uint32_t> shared;
  for (std::size_t i = 0; i < prefix_tokens / kPageTokens; ++i) shared.push_back(prefix->pages.page(i));
  s.pages = *cache.reserve(positions, shared);
  for (std::size_t p = 0; p < positions; ++p) {
    const bool same = p < prefix_tokens;
    s.keys.push_back(same ? prefix->keys[p] : normals(random, c.kv_heads * c.dim));
    s.values.push_back(same ? prefix->values[p] : normals(random, c.kv_heads * c.dim));
    s.queries.push_back(normals(random, c.heads * c.dim));
    if (p / kPageTokens >= shared.size()) {
      cache.store(best(), s.pages, layer, p, s.keys.back().data(), s.values.back().data());
    }
  }
  return s;
}

std::vector<double> slow_attention(const Case& c, const Sequence& s, std::size_t position, double scale) {
  std::vector<double> out(c.heads * c.dim, 0.0);
  for (std::size_t head = 0; head < c.heads; ++head) {
    const std::size_t kv = head / (c.heads / c.kv_heads);
    std::vector<double> weights;
    double sum = 0.0;
    for (std::size_t p = 0; p <= position; ++p) {
      double score = 0.0;
      for (std::size_t i = 0; i < c.dim; ++i) {
        score += static_cast<double>(s.queries[position][head * c.dim + i]) * s.keys[p][kv * c.dim + i];
      }
      weights.push_back(std::exp(score * scale));
      sum += weights.back();
    }
    for (std::size_t p = 0; p <= position; ++p) {
      for (std::size_t i = 0; i < c.dim; ++i) {
        out[head * c.dim + i] += weights[p] / sum * s.values[p][kv * c.dim + i];
      }
    }
  }
  return out;
}

using Who = std::vector<std::pair<const Sequence*, std::size_t>>;

std::vector<std::vector<float>> run(const Case& c, const Context& context, KvCache& cache, const Who& who,
                                    float scale) {
  std::vector<AttentionRow> rows;
  std::vector<float> queries;
  for (const auto& [sequence, position] : who) {
    rows.push_back({&sequence->pages, position});
    queries.insert(queries.end(), sequence->queries[position].begin(), sequence->queries[position].end());
  }
  std::vector<float> out(queries.size());
  Attention attention;
  attention.plan(rows);
  attention.run(context, cache, 1, c.heads, scale, queries.data(), out.data());
  std::vector<std::vector<float>> each;
  for (std::size_t i = 0; i < who.size(); ++i) {
    const auto from = out.begin() + static_cast<std::ptrdiff_t>(i * c.heads * c.dim);
    each.emplace_back(from, from + static_cast<std::ptrdiff_t>(c.heads * c.dim));
  }
  return each;
}

class AttentionOf : public testing::TestWithParam<Case> {};

TEST_P(AttentionOf, RowsOfSeveralSequencesEqualTheSlowAttentionAndTheirOwnBits) {
  const Case& c = GetParam();
  auto cache = KvCache::make({.layers = 2, .kv_heads = c.kv_heads, .head_dim = c.dim, .type = c.type},
                             200 * kPageTokens);
  ASSERT_TRUE(cache.has_value());
  std::vector<Sequence> sequences;
  sequences.push_back(filled(c, **cache, 1, 100, 1));
  sequences.push_back(filled(c, **cache, 1, 1, 2));
  sequences.push_back(filled(c, **cache, 1, 2 * kPageTokens, 3));
  sequences.push_back(filled(c, **cache, 1, 1200, 4));  // Three spans.
  sequences.push_back(filled(c, **cache, 1, 110, 5, &sequences[0], 64));
  sequences.push_back(filled(c, **cache, 1, 97, 6, &sequences[0], 96));
  const float scale = 1.0F / std::sqrt(static_cast<float>(c.dim));
  // Rounding of what is stored, relative to numbers of size 1: scores move by about it, outputs too.
  const double tolerance = c.type == KvType::kF32 ? 2e-5 : c.type == KvType::kF16 ? 4e-3 : 6e-2;
  Who all, some, last;
  for (const Sequence& s : sequences) {
    for (std::size_t p = 0; p < s.keys.size(); ++p) {
      if ((p % 3 == 0 && p < 110) || p % 97 == 0 || p > 1180) all.emplace_back(&s, p);
      if (p % 7 == 2 && p < 110) some.emplace_back(&s, p);
    }
    last.emplace_back(&s, s.keys.size() - 1);
  }
  std::reverse(some.begin(), some.end());
  std::map<std::pair<const Sequence*, std::size_t>, std::vector<double>> slow;
  const auto expected_of = [&](const Sequence* s, std::size_t position) -> const std::vector<double>& {
    std::vector<double>& known = slow[{s, position}];
    if (known.empty()) known = slow_attention(c, *s, position, scale);
    return known;
  };
  for (const kernels::KernelSet* set : kernels::kernel_sets()) {
    ThreadPool one(1), three(3);
    std::map<std::pair<const Sequence*, std::size_t>, std::vector<float>> bits;
    const auto check = [&](ThreadPool& pool, const Who& who) {
      const auto outputs = run(c, {*set, pool}, **cache, who, scale);
      for (std::size_t i = 0; i < who.size(); ++i) {
        const auto [known, is_new] = bits.emplace(who[i], outputs[i]);
        if (!is_new) {
          ASSERT_EQ(known->second, outputs[i]) << set->name;
          continue;
        }
        const std::vector<double>& expected = expected_of(who[i].first, who[i].second);
        for (std::size_t k = 0; k < expected.size(); ++k) {
          ASSERT_NEAR(outputs[i][k], expected[k], tolerance) << set->name;
        }
      }
    };
    check(one, all);
    check(three, all);
    check(three, some);
    check(three, last);
    for (const auto& each : last) {
      check(one, {each});
      check(three, {each});  // Long ones: spans shared out.
    }
  }
}

// A page is used again: what the last holder left in it, even numbers that are none, must not shine through.
TEST_P(AttentionOf, WhatAnEarlierHolderLeftDoesNotMatter) {
  const Case& c = GetParam();
  auto cache = KvCache::make({.layers = 2, .kv_heads = c.kv_heads, .head_dim = c.dim, .type = c.type},
                             4 * kPageTokens);
  ASSERT_TRUE(cache.has_value());
  const float scale = 1.0F / std::sqrt(static_cast<float>(c.dim));
  for (const kernels::KernelSet* set : kernels::kernel_sets()) {
    ThreadPool pool(1);
    const auto outputs = [&] {
      const Sequence s = filled(c, **cache, 1, 70, 9);
      return run(c, {*set, pool}, **cache, {{&s, 69}, {&s, 68}, {&s, 3}}, scale);
    };
    const auto expected = outputs();
    {
      const KvPages all = *(*cache)->reserve(4 * kPageTokens);
      const std::vector<float> nothing(c.kv_heads * c.dim, std::nanf(""));
      for (std::size_t p = 0; p < 4 * kPageTokens; ++p) {
        (*cache)->store(*set, all, 1, p, nothing.data(), nothing.data());
      }
    }
    EXPECT_EQ(outputs(), expected) << set->name;
  }
}

TEST_P(AttentionOf, WhatIsNoNumberStaysNone) {
  const Case& c = GetParam();
  auto cache = KvCache::make({.layers = 2, .kv_heads = c.kv_heads, .head_dim = c.dim, .type = c.type},
                             4 * kPageTokens);
  ASSERT_TRUE(cache.has_value());
  for (const kernels::KernelSet* set : kernels::kernel_sets()) {
    for (const bool is_key : {true, false}) {
      ThreadPool pool(1);
      const Sequence s = filled(c, **cache, 1, 70, 9);
      std::vector<float> spoiled(c.kv_heads * c.dim, 0.5F);
      const std::vector<float> sound = spoiled;
      for (std::size_t head = 0; head < c.kv_heads; ++head) spoiled[head * c.dim + 1] = std::nanf("");
      (*cache)->store(*set, s.pages, 1, 40, is_key ? spoiled.data() : sound.data(),
                      is_key ? sound.data() : spoiled.data());
      const auto out = run(c, {*set, pool}, **cache, {{&s, 69}, {&s, 39}}, 1.0F);
      for (std::size_t head = 0; head < c.heads; ++head) EXPECT_TRUE(std::isnan(out[0][head * c.dim + 1]));
      for (const float number : out[1]) EXPECT_TRUE(std::isfinite(number));
    }
  }
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kI8}) {
    all.push_back({6, 2, 24, type});
    all.push_back({12, 2, 128, type});
    all.push_back({4, 4, 64, type});
    all.push_back({14, 1, 80, type});
    all.push_back({2, 1, 320, type});  // Wider than what is converted at a time.
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionOf, testing::ValuesIn(cases()), [](const auto& info) {
  return std::string(kv_type_name(info.param.type)) + "_" + std::to_string(info.param.heads) + "_" +
         std::to_string(info.param.kv_heads) + "_" + std::to_string(info.param.dim);
});

}  // namespace
}  // namespace sluice::ops
