#include "worker/ops/prefix_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace sluice::ops {
namespace {

using Ids = std::vector<std::int32_t>;

// One number a token: what is stored for a position can stand for all tokens up to it.
constexpr KvShape kShape{.layers = 1, .kv_heads = 1, .head_dim = 1, .type = KvType::kF32};

std::unique_ptr<KvCache> cache_of(std::size_t pages) {
  return std::move(*KvCache::make(kShape, pages * kPageTokens));
}

// Stands for the first `count` tokens of a scope.
float mark(std::string_view scope, const Ids& ids, std::size_t count) {
  std::uint64_t hash = std::hash<std::string_view>{}(scope);
  for (std::size_t i = 0; i < count; ++i) hash = (hash ^ static_cast<std::uint64_t>(ids[i])) * 0x100000001B3U;
  return static_cast<float>((hash >> 20) & 0xFFFFFF);
}

float stored(KvCache& cache, const KvLease& lease, std::size_t position) {
  const std::uint32_t page = lease.pages().page(position / kPageTokens);
  return reinterpret_cast<const float*>(cache.block(0, page, 0))[position % kPageTokens];
}

// A sequence that computes as the engine does.
struct Sequence {
  std::string scope;
  Ids ids;
  std::size_t prompt = 0;
  std::size_t done = 0;
  std::size_t cached = 0;
  std::unique_ptr<KvLease> lease;

  std::size_t planned = 0;

  // Returns how many tokens it will compute in this step.
  std::size_t plan(std::size_t room) {
    const std::size_t known = lease->skip(done);
    cached += known - done;
    done = known;
    planned = lease->claim(done, std::min(room, ids.size() - done));
    return planned;
  }
  void compute(KvCache& cache) {
    for (; planned > 0; --planned, ++done) {
      const float number = mark(scope, ids, done + 1);
      cache.store(*kernels::kernel_sets().front(), lease->pages(), 0, done, &number, &number);
    }
  }
};

Ids text(std::int32_t seed, std::size_t n) {
  Ids ids;
  for (std::size_t i = 0; i < n; ++i) ids.push_back(seed * 1000 + static_cast<std::int32_t>(i % 997));
  return ids;
}

class Prefixes : public testing::Test {
 protected:
  Sequence start(const std::string& scope, Ids ids, std::size_t answer = 10) {
    Sequence s;
    s.scope = scope;
    s.ids = std::move(ids);
    s.prompt = s.ids.size();
    s.lease = prefixes_.open(scope, s.ids, s.prompt + answer);
    return s;
  }
  // Computes the rest of it; returns how many tokens that were.
  std::size_t finish(Sequence& s) {
    std::size_t computed = 0;
    while (s.done < s.ids.size()) {
      const std::size_t count = s.plan(40);
      if (count == 0) break;
      computed += count;
      s.compute(*cache_);
      s.lease->computed(s.ids, s.done);
    }
    for (std::size_t p = 0; p < s.done; ++p) {
      EXPECT_EQ(stored(*cache_, *s.lease, p), mark(s.scope, s.ids, p + 1)) << p;
    }
    return computed;
  }

  std::unique_ptr<KvCache> cache_ = cache_of(40);
  PrefixCache prefixes_{*cache_};
};

TEST_F(Prefixes, ASecondPromptFindsWhatTheFirstComputed) {
  Sequence a = start("t", text(1, 100));
  EXPECT_EQ(finish(a), 100U);
  Sequence b = start("t", text(1, 100));
  // Three whole pages, and of the fourth what the first left there when it was filled: it wasn't.
  EXPECT_EQ(finish(b), 4U);
  EXPECT_EQ(b.cached, 96U);
  EXPECT_EQ(a.lease->pages().page(2), b.lease->pages().page(2));
  EXPECT_NE(a.lease->pages().page(3), b.lease->pages().page(3));
}

TEST_F(Prefixes, TheyOutliveTheirSequence) {
  {
    Sequence a = start("t", text(1, 100));
    finish(a);
  }
  EXPECT_EQ(prefixes_.pages_free(), 40U);
  EXPECT_EQ(prefixes_.pages_idle(), 3U);
  Sequence b = start("t", text(1, 100));
  EXPECT_EQ(prefixes_.pages_idle(), 0U);
  EXPECT_EQ(finish(b), 4U);
}

TEST_F(Prefixes, TheLastTokenOfAPromptIsAlwaysComputed) {
  Sequence a = start("t", text(1, 64), 64);
  finish(a);
  EXPECT_EQ(a.done, 64U);
  Sequence b = start("t", text(1, 64));
  // Its page is a copy until it is full: the original may be read by others.
  EXPECT_NE(a.lease->pages().page(1), b.lease->pages().page(1));
  EXPECT_EQ(finish(b), 1U);
  EXPECT_EQ(a.lease->pages().page(1), b.lease->pages().page(1));
}

TEST_F(Prefixes, APromptThatLeavesAPageHalfwayCopiesIt) {
  Sequence a = start("t", text(1, 100));
  finish(a);
  Ids ids = text(1, 100);
  for (std::size_t i = 50; i < 100; ++i) ids[i] += 500;
  Sequence b = start("t", ids);
  EXPECT_EQ(finish(b), 50U);
  EXPECT_EQ(b.cached, 50U);
  for (std::size_t p = 0; p < 100; ++p) EXPECT_EQ(stored(*cache_, *a.lease, p), mark("t", a.ids, p + 1));
}

TEST_F(Prefixes, AnswersCanBeGoneOnWith) {
  Sequence a = start("t", text(1, 60), 60);
  const Ids all = text(1, 110);
  finish(a);
  while (a.ids.size() < all.size()) {
    a.ids.push_back(all[a.ids.size()]);
    EXPECT_EQ(finish(a), 1U);
  }
  Sequence b = start("t", text(1, 110));
  EXPECT_EQ(b.lease->skip(0), 96U);
}

TEST_F(Prefixes, ScopesShareNothing) {
  Sequence a = start("one", text(1, 100));
  finish(a);
  Sequence b = start("two", text(1, 100));
  EXPECT_EQ(finish(b), 100U);
  EXPECT_EQ(b.cached, 0U);
}

TEST_F(Prefixes, WithoutSharingNothingIsShared) {
  const auto cache = cache_of(10);
  PrefixCache prefixes(*cache, false);
  const Ids ids = text(1, 64);
  const auto a = prefixes.open("t", ids, 100);
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->claim(0, 64), 64U);
  a->computed(ids, 64);
  const auto b = prefixes.open("t", ids, 100);
  EXPECT_EQ(b->skip(0), 0U);
  EXPECT_EQ(prefixes.open("t", ids, 100), nullptr);
}

TEST_F(Prefixes, OneComputesAndTheOthersWaitForIt) {
  Sequence a = start("t", text(1, 100));
  const std::size_t free = prefixes_.pages_free();
  Sequence b = start("t", text(1, 100));
  EXPECT_EQ(prefixes_.pages_free(), free - 1);  // What they share counts once, computed or not.
  EXPECT_EQ(a.plan(40), 40U);
  EXPECT_EQ(b.plan(40), 0U);
  a.compute(*cache_);
  a.lease->computed(a.ids, a.done);
  EXPECT_EQ(a.plan(40), 40U);
  EXPECT_EQ(b.plan(40), 0U);
  EXPECT_EQ(b.done, 32U);
  a.compute(*cache_);
  a.lease->computed(a.ids, a.done);
  finish(a);
  EXPECT_EQ(finish(b), 4U);
}

TEST_F(Prefixes, WhenTheOneWhoComputesEndsAnotherGoesOn) {
  Sequence a = start("t", text(1, 100));
  Sequence b = start("t", text(1, 100));
  Sequence c = start("t", text(1, 100));
  EXPECT_EQ(a.plan(40), 40U);
  a.compute(*cache_);
  a.lease->computed(a.ids, a.done);
  a.lease.reset();
  EXPECT_EQ(b.plan(10), 10U);  // From the second page's beginning.
  EXPECT_EQ(b.done, 32U);
  EXPECT_EQ(c.plan(10), 0U);
  b.compute(*cache_);
  b.lease->computed(b.ids, b.done);
  finish(b);
  EXPECT_EQ(finish(c), 4U);
}

TEST_F(Prefixes, WhatNobodyWillComputeIsForgotten) {
  Sequence a = start("t", text(1, 200));
  EXPECT_EQ(a.plan(40), 40U);
  a.compute(*cache_);
  a.lease->computed(a.ids, a.done);
  a.lease.reset();
  EXPECT_EQ(prefixes_.pages_free(), 40U);
  EXPECT_EQ(prefixes_.pages_idle(), 1U);
}

TEST_F(Prefixes, ForgettingTakesBackWhatOnlyThisOneHas) {
  Sequence a = start("t", text(1, 100));
  Sequence b = start("t", text(1, 40));
  finish(a);
  a.lease->forget();
  a.lease.reset();
  EXPECT_EQ(prefixes_.pages_idle(), 0U);
  EXPECT_EQ(finish(b), 8U);  // Its first page it shared.
}

TEST_F(Prefixes, TheLeastRecentlyUsedGoesFirstAndEndsBeforeBeginnings) {
  for (const std::int32_t seed : {1, 2, 3}) {
    Sequence s = start("t", text(seed, 290), 30);  // Nine pages stay of each.
    finish(s);
  }
  EXPECT_EQ(prefixes_.pages_idle(), 27U);
  EXPECT_EQ(start("t", text(1, 290)).lease->skip(0), 288U);  // Used again.
  {
    const Sequence large = start("t", text(9, 500), 100);  // 19 pages, of 13 free ones.
    ASSERT_NE(large.lease, nullptr);
    EXPECT_EQ(prefixes_.evictions(), 6U);
  }
  EXPECT_EQ(start("t", text(1, 290)).lease->skip(0), 288U);
  EXPECT_EQ(start("t", text(3, 290)).lease->skip(0), 288U);
  EXPECT_EQ(start("t", text(2, 290)).lease->skip(0), 96U);
}

TEST_F(Prefixes, ARunningSequenceIsNeverRobbed) {
  Sequence a = start("t", text(1, 600), 40);  // 20 pages.
  finish(a);
  EXPECT_EQ(start("t", text(2, 700)).lease, nullptr);
  EXPECT_EQ(prefixes_.pages_free(), 20U);
  {
    Sequence b = start("t", text(2, 600), 40);
    ASSERT_NE(b.lease, nullptr);
    finish(b);
    // Room only because all but the last page and what follows it is shared.
    EXPECT_EQ(start("t", text(1, 600), 40).lease, nullptr);
  }
  EXPECT_NE(start("t", text(1, 600), 600).lease, nullptr);
  for (std::size_t p = 0; p < a.done; ++p) EXPECT_EQ(stored(*cache_, *a.lease, p), mark("t", a.ids, p + 1));
}

// Random lives of many sequences over few texts, against what must hold whatever the index does: every
// token that counts as computed has the mark of all tokens before it; nobody writes where another reads;
// pages are neither lost nor doubled; nobody waits for ever; and no room is refused that there is.
TEST(PrefixesAtRandom, NothingIsLostCorruptedOrStuck) {
  for (unsigned seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    const auto cache = cache_of(30);
    PrefixCache prefixes(*cache);
    std::vector<std::unique_ptr<Sequence>> running;
    std::vector<Ids> texts;  // Prompts begin as earlier ones did.
    std::size_t cached = 0;
    for (int round = 0; round < 400; ++round) {
      if (below(3) == 0) {
        auto s = std::make_unique<Sequence>();
        s->scope = below(4) == 0 ? "other" : "one";
        if (!texts.empty() && below(5) > 0) {
          s->ids = texts[below(texts.size())];
          s->ids.resize(1 + below(s->ids.size()));
        }
        const std::size_t more = below(3) == 0 ? below(5) : below(150);
        for (std::size_t i = 0; i < more; ++i) s->ids.push_back(static_cast<std::int32_t>(below(2)));
        if (s->ids.empty()) s->ids.push_back(0);
        s->prompt = s->ids.size();
        const std::size_t tokens = s->prompt + 1 + below(60);
        std::set<std::uint32_t> live;
        for (const auto& other : running) {
          for (std::size_t i = 0; i < other->lease->pages().size(); ++i)
            live.insert(other->lease->pages().page(i));
        }
        const std::size_t free = prefixes.pages_free();
        ASSERT_EQ(live.size() + free, 30U);
        s->lease = prefixes.open(s->scope, s->ids, tokens);
        if (s->lease == nullptr) {
          ASSERT_GT(KvCache::pages_for(tokens), free);
          ASSERT_EQ(prefixes.pages_free(), free);
        } else {
          ASSERT_EQ(s->lease->pages().size(), KvCache::pages_for(tokens));
          if (texts.size() < 12) texts.push_back(s->ids);
          running.push_back(std::move(s));
        }
      }
      // One step, as the engine plans it.
      std::size_t room = 1 + below(60);
      std::size_t planned = 0;
      bool unfinished = false;
      for (const auto& s : running) {
        unfinished = unfinished || s->done < s->ids.size();
        if (room == 0 || s->done == s->ids.size()) continue;
        const std::size_t count = s->plan(room);
        room -= count;
        planned += count;
      }
      ASSERT_TRUE(planned > 0 || !unfinished) << "nobody computes";
      for (const auto& writer : running) {
        for (std::size_t p = writer->done; p < writer->done + writer->planned; ++p) {
          const std::uint32_t page = writer->lease->pages().page(p / kPageTokens);
          for (const auto& reader : running) {
            if (reader == writer || p / kPageTokens >= reader->lease->pages().size()) continue;
            ASSERT_FALSE(reader->lease->pages().page(p / kPageTokens) == page && reader->done > p);
          }
        }
      }
      for (const auto& s : running) s->compute(*cache);
      for (const auto& s : running) {
        ASSERT_LE(s->done, s->ids.size());
        s->lease->computed(s->ids, s->done);
        for (std::size_t p = 0; p < s->done; ++p) {
          ASSERT_EQ(stored(*cache, *s->lease, p), mark(s->scope, s->ids, p + 1)) << "position " << p;
        }
        // It answers.
        if (s->done == s->ids.size() && s->ids.size() < s->lease->pages().tokens()) {
          s->ids.push_back(static_cast<std::int32_t>(below(2)));
        }
      }
      while (!running.empty() && below(4) == 0) {
        const std::size_t victim = below(running.size());
        cached += running[victim]->cached;
        if (below(10) == 0) running[victim]->lease->forget();
        running.erase(running.begin() + static_cast<std::ptrdiff_t>(victim));
      }
    }
    EXPECT_GT(cached, 500U);
    running.clear();
    EXPECT_EQ(prefixes.pages_free(), 30U);
  }
}

}  // namespace
}  // namespace sluice::ops
