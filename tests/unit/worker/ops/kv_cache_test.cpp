#include "worker/ops/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "worker/kernels/half.h"

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

// Reads a stored number back.
float number_at(KvCache& c, std::size_t layer, std::uint32_t page, std::size_t head, std::size_t token,
                std::size_t dim, bool is_key) {
  using namespace kernels;
  const KvShape& shape = c.shape();
  const std::byte* from =
      c.block(layer, page, head) + (is_key ? 0 : kv_keys_bytes(shape.type, shape.head_dim));
  const std::uint16_t* scales = reinterpret_cast<const std::uint16_t*>(from);
  from += kv_scale_bytes(shape.type, shape.head_dim);
  const std::size_t at = is_key ? dim * kPageTokens + token : token * kv_padded(shape.head_dim) + dim;
  const std::size_t group = dim / kKvGroup;
  switch (shape.type) {
    case KvType::kF32:
      return reinterpret_cast<const float*>(from)[at];
    case KvType::kF16:
      return half_to_float(reinterpret_cast<const std::uint16_t*>(from)[at]);
    case KvType::kI8:
      return static_cast<float>(reinterpret_cast<const std::int8_t*>(from)[at]) *
             half_to_float(
                 scales[is_key ? group * kPageTokens + token : token * kv_groups(shape.head_dim) + group]);
  }
  return 0.0F;
}

TEST(KvCache, KeepsEveryTokenOfEveryLayerApart) {
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kI8}) {
    KvShape shape = kShape;
    shape.type = type;
    const auto cache = KvCache::make(shape, 6 * kPageTokens);
    ASSERT_TRUE(cache.has_value());
    KvCache& c = **cache;
    const auto a = c.reserve(3 * kPageTokens);
    const auto b = c.reserve(3 * kPageTokens);
    // Small enough for every type to hold exactly: the last number of each head is 127, so the scale is 1.
    const auto number = [](int who, std::size_t layer, std::size_t position, std::size_t i, int which) {
      if (i % 4 == 3) return 127.0F;
      return static_cast<float>((static_cast<std::size_t>(who) * 131 + layer * 57 + position * 3 + i * 29 +
                                 static_cast<std::size_t>(which) * 11) %
                                251) -
             125.0F;
    };
    for (int who : {0, 1}) {
      for (std::size_t layer = 0; layer < 2; ++layer) {
        for (std::size_t position = 0; position < 3 * kPageTokens; ++position) {
          float keys[12], values[12];
          for (std::size_t i = 0; i < 12; ++i) {
            keys[i] = number(who, layer, position, i, 0);
            values[i] = number(who, layer, position, i, 1);
          }
          c.store(*kernels::kernel_sets().front(), who == 0 ? *a : *b, layer, position, keys, values);
        }
      }
    }
    for (int who : {0, 1}) {
      for (std::size_t layer = 0; layer < 2; ++layer) {
        for (std::size_t position = 0; position < 3 * kPageTokens; ++position) {
          const std::uint32_t page = (who == 0 ? *a : *b).page(position / kPageTokens);
          for (std::size_t i = 0; i < 12; ++i) {
            const std::size_t token = position % kPageTokens;
            ASSERT_EQ(number_at(c, layer, page, i / 4, token, i % 4, true),
                      number(who, layer, position, i, 0));
            ASSERT_EQ(number_at(c, layer, page, i / 4, token, i % 4, false),
                      number(who, layer, position, i, 1));
          }
        }
      }
    }
  }
}

TEST(KvCache, ASharedPageIsFreeWhenItsLastHolderLetsGo) {
  const auto cache = KvCache::make(kShape, 4 * kPageTokens);
  ASSERT_TRUE(cache.has_value());
  KvCache& c = **cache;
  auto a = c.reserve(2 * kPageTokens);
  const std::uint32_t shared = a->page(0);
  auto b = c.reserve(2 * kPageTokens, {shared});
  ASSERT_TRUE(b.has_value());
  EXPECT_EQ(b->page(0), shared);
  EXPECT_NE(b->page(1), a->page(1));
  EXPECT_EQ(c.holders(shared), 2U);
  EXPECT_EQ(c.pages_free(), 1U);
  EXPECT_FALSE(c.reserve(3 * kPageTokens, {shared}).has_value());
  EXPECT_EQ(c.holders(shared), 2U);
  a->release();
  EXPECT_EQ(c.pages_free(), 2U);
  c.hold(shared);
  b->release();
  EXPECT_EQ(c.pages_free(), 3U);
  c.let_go(shared);
  EXPECT_EQ(c.pages_free(), 4U);
}

TEST(KvCache, ACopiedPageHasAllLayersAndIsItsOwn) {
  const auto cache = KvCache::make(kShape, 2 * kPageTokens);
  ASSERT_TRUE(cache.has_value());
  KvCache& c = **cache;
  const auto pages = c.reserve(2 * kPageTokens);
  const auto fill = [&](std::size_t position, float number) {
    const std::vector<float> row(12, number);
    for (std::size_t layer = 0; layer < 2; ++layer) {
      c.store(*kernels::kernel_sets().front(), *pages, layer, position, row.data(), row.data());
    }
  };
  for (std::size_t i = 0; i < kPageTokens; ++i) fill(i, static_cast<float>(i));
  c.copy(pages->page(0), pages->page(1));
  fill(3, 100.0F);
  for (std::size_t layer = 0; layer < 2; ++layer) {
    for (std::size_t i = 0; i < kPageTokens; ++i) {
      for (std::size_t head = 0; head < 3; ++head) {
        EXPECT_EQ(number_at(c, layer, pages->page(1), head, i, 2, true), static_cast<float>(i));
        EXPECT_EQ(number_at(c, layer, pages->page(1), head, i, 2, false), static_cast<float>(i));
      }
    }
  }
}

TEST(KvCache, TypesHaveNames) {
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kI8}) {
    EXPECT_EQ(kv_type_by_name(kv_type_name(type)), type);
  }
  EXPECT_EQ(kv_type_by_name("f16"), KvType::kF16);
  EXPECT_FALSE(kv_type_by_name("F8").has_value());
}

TEST(KvCache, RefusesSizesThatCannotBe) {
  EXPECT_FALSE(KvCache::make(kShape, 0).has_value());
  EXPECT_FALSE(KvCache::make(kShape, kPageTokens - 1).has_value());
  EXPECT_FALSE(KvCache::make(kShape, static_cast<std::size_t>(-1)).has_value());
  EXPECT_FALSE(
      KvCache::make({.layers = 1U << 20, .kv_heads = 1U << 20, .head_dim = 1U << 20}, 1U << 30).has_value());
}

}  // namespace
}  // namespace sluice::ops
