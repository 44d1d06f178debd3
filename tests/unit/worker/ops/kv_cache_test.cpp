#include "worker/ops/kv_cache.h"

#include <gtest/gtest.h>

#include <set>

namespace sluice::ops {
namespace {

constexpr KvShape kShape{.layers = 2, .kv_heads = 3, .head_dim = 4};

TEST(KvCache, HandsOutWholePagesAndGetsThemBack) {
  const auto cache = KvCache::make(kShape, 10 * kPageTokens + 5);
  ASSERT_TRUE(cache.has_value());
  KvCache& c = **cache;
  EXPECT_EQ(c.tokens_max(), 10 * kPageTokens);
  EXPECT_EQ(c.tokens_free(), 10 * kPageTokens);
  {
    auto a = c.reserve(kPageTokens + 1);
    ASSERT_TRUE(a.has_value());
    EXPECT_EQ(a->tokens(), 2 * kPageTokens);
    EXPECT_EQ(c.tokens_free(), 8 * kPageTokens);
    EXPECT_FALSE(c.reserve(8 * kPageTokens + 1).has_value());
    EXPECT_EQ(c.tokens_free(), 8 * kPageTokens);
    auto b = c.reserve(8 * kPageTokens);
    ASSERT_TRUE(b.has_value());
    std::set<std::uint32_t> pages;
    for (std::size_t i = 0; i < 2; ++i) pages.insert(a->page(i));
    for (std::size_t i = 0; i < 8; ++i) pages.insert(b->page(i));
    EXPECT_EQ(pages.size(), 10U);
    EXPECT_FALSE(c.reserve(1).has_value());
    b->release();
    b->release();
    EXPECT_EQ(c.tokens_free(), 8 * kPageTokens);
    KvPages moved = std::move(*a);
    a = c.reserve(kPageTokens);
    EXPECT_EQ(c.tokens_free(), 7 * kPageTokens);
    moved = std::move(*a);  // Gives back what it held.
    EXPECT_EQ(c.tokens_free(), 9 * kPageTokens);
  }
  EXPECT_EQ(c.tokens_free(), 10 * kPageTokens);
}

TEST(KvCache, KeepsEveryTokenOfEveryLayerApart) {
  const auto cache = KvCache::make(kShape, 6 * kPageTokens);
  ASSERT_TRUE(cache.has_value());
  KvCache& c = **cache;
  const auto a = c.reserve(3 * kPageTokens);
  const auto b = c.reserve(3 * kPageTokens);
  const auto number = [](int who, std::size_t layer, std::size_t position, std::size_t i, int which) {
    return static_cast<float>(who * 100000 + static_cast<int>(layer) * 50000 +
                              static_cast<int>(position) * 100 + static_cast<int>(i) * 2 + which);
  };
  for (int who : {0, 1}) {
    for (std::size_t layer = 0; layer < 2; ++layer) {
      for (std::size_t position = 0; position < 3 * kPageTokens; ++position) {
        float keys[12], values[12];
        for (std::size_t i = 0; i < 12; ++i) {
          keys[i] = number(who, layer, position, i, 0);
          values[i] = number(who, layer, position, i, 1);
        }
        c.store(who == 0 ? *a : *b, layer, position, keys, values);
      }
    }
  }
  for (int who : {0, 1}) {
    for (std::size_t layer = 0; layer < 2; ++layer) {
      for (std::size_t position = 0; position < 3 * kPageTokens; ++position) {
        const std::uint32_t page = (who == 0 ? *a : *b).page(position / kPageTokens);
        for (std::size_t i = 0; i < 12; ++i) {
          const std::size_t at = position % kPageTokens * 4 + i % 4;
          ASSERT_EQ(c.keys(layer, page, i / 4)[at], number(who, layer, position, i, 0));
          ASSERT_EQ(c.values(layer, page, i / 4)[at], number(who, layer, position, i, 1));
        }
      }
    }
  }
}

TEST(KvCache, RefusesSizesThatCannotBe) {
  EXPECT_FALSE(KvCache::make(kShape, 0).has_value());
  EXPECT_FALSE(KvCache::make(kShape, kPageTokens - 1).has_value());
  EXPECT_FALSE(KvCache::make(kShape, static_cast<std::size_t>(-1)).has_value());
  EXPECT_FALSE(
      KvCache::make({.layers = 1U << 20, .kv_heads = 1U << 20, .head_dim = 1U << 10}, 1U << 30).has_value());
}

}  // namespace
}  // namespace sluice::ops
