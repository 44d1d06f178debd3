#include "worker/ops/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>

namespace sluice::ops {
namespace {

const kernels::KernelSet& kernel_set() {
  return *kernels::kernel_sets().front();
}

std::int32_t pick(Sampler& sampler, std::vector<float> logits) {
  return sampler.pick(kernel_set(), logits).value();
}

// Share of each id over many draws.
std::map<std::int32_t, double> shares(SamplerConfig config, const std::vector<float>& logits,
                                      int draws = 20000) {
  config.seed = 12345;
  Sampler sampler(config, {});
  std::map<std::int32_t, double> count;
  for (int i = 0; i < draws; ++i) count[pick(sampler, logits)] += 1.0 / draws;
  return count;
}

std::vector<float> logs(const std::vector<double>& probabilities) {
  std::vector<float> out;
  out.reserve(probabilities.size());
  for (double p : probabilities) out.push_back(static_cast<float>(std::log(p)));
  return out;
}

TEST(Sampler, ZeroTemperatureTakesTheLargestAndTheLowestIdAmongEquals) {
  Sampler sampler({}, {});
  EXPECT_EQ(pick(sampler, {0.0F, 3.0F, -1.0F, 3.0F}), 1);
  EXPECT_EQ(pick(sampler, {-5.0F, -3.0F, -4.0F}), 1);
}

TEST(Sampler, DrawsFollowTheProbabilities) {
  const auto share = shares({.temperature = 1.0F}, logs({0.5, 0.3, 0.15, 0.05}));
  EXPECT_NEAR(share.at(0), 0.5, 0.02);
  EXPECT_NEAR(share.at(1), 0.3, 0.02);
  EXPECT_NEAR(share.at(2), 0.15, 0.02);
  EXPECT_NEAR(share.at(3), 0.05, 0.01);
}

TEST(Sampler, TemperatureSharpensAndFlattens) {
  // p^(1/T): at T = 0.5 squares, 0.64 : 0.04.
  EXPECT_NEAR(shares({.temperature = 0.5F}, logs({0.8, 0.2})).at(0), 0.64 / 0.68, 0.01);
  EXPECT_NEAR(shares({.temperature = 100.0F}, logs({0.8, 0.2})).at(0), 0.5, 0.02);
  EXPECT_EQ(shares({.temperature = 1e-30F}, logs({0.4, 0.6}), 100).size(), 1U);
}

TEST(Sampler, TopKKeepsTheLikeliest) {
  const auto share = shares({.temperature = 1.0F, .top_k = 2}, logs({0.1, 0.4, 0.2, 0.3}));
  EXPECT_EQ(share.size(), 2U);
  EXPECT_NEAR(share.at(1), 4.0 / 7, 0.02);
  EXPECT_NEAR(share.at(3), 3.0 / 7, 0.02);
  EXPECT_EQ(shares({.temperature = 1.0F, .top_k = 99}, logs({0.5, 0.5})).size(), 2U);
}

TEST(Sampler, TopPKeepsTheFewestThatReachTheSum) {
  const std::vector<float> logits = logs({0.05, 0.5, 0.15, 0.3});
  EXPECT_EQ(shares({.temperature = 1.0F, .top_p = 0.45F}, logits).size(), 1U);
  const auto two = shares({.temperature = 1.0F, .top_p = 0.75F}, logits);
  EXPECT_EQ(two.size(), 2U);
  EXPECT_NEAR(two.at(1), 5.0 / 8, 0.02);
  EXPECT_EQ(shares({.temperature = 1.0F, .top_p = 0.9F}, logits).size(), 3U);
  EXPECT_EQ(shares({.temperature = 1.0F, .top_p = 1e-9F}, logits).size(), 1U);
}

TEST(Sampler, TopPActsOnWhatTopKLeft) {
  // Of 0.5, 0.3 (renormalised 0.625, 0.375) the first alone reaches 0.6.
  EXPECT_EQ(shares({.temperature = 1.0F, .top_k = 2, .top_p = 0.6F}, logs({0.5, 0.3, 0.2})).size(), 1U);
}

TEST(Sampler, MinPKeepsTheNearlyLikeliest) {
  const auto share = shares({.temperature = 1.0F, .min_p = 0.5F}, logs({0.4, 0.23, 0.18, 0.19}));
  EXPECT_EQ(share.size(), 2U);
  EXPECT_TRUE(share.contains(1));
}

// Many candidates: the kept ones are found by sorting a growing front, which must equal sorting all.
TEST(Sampler, TopPOverALargeVocabularyEqualsASortOfAll) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0.0F, 0.3F);
  std::vector<float> logits(5000);
  for (float& logit : logits) logit = normal(random);
  std::vector<std::pair<double, std::int32_t>> sorted;
  double total = 0.0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    sorted.emplace_back(std::exp(logits[i]), i);
    total += sorted.back().first;
  }
  std::sort(sorted.rbegin(), sorted.rend());
  std::unordered_set<std::int32_t> nucleus;
  double sum = 0.0;
  for (const auto& [p, id] : sorted) {
    if (sum >= 0.5 * total * 1.0001) break;
    nucleus.insert(id);
    sum += p;
  }
  SamplerConfig config{.temperature = 1.0F, .top_p = 0.5F, .seed = 9};
  Sampler sampler(config, {});
  std::unordered_set<std::int32_t> drawn;
  for (int i = 0; i < 4000; ++i) drawn.insert(pick(sampler, logits));
  for (const std::int32_t id : drawn) EXPECT_TRUE(nucleus.contains(id));
  EXPECT_GT(drawn.size(), nucleus.size() / 2);
}

TEST(Sampler, TheSameSeedDrawsTheSame) {
  const std::vector<float> logits = logs({0.25, 0.25, 0.25, 0.25});
  std::vector<std::int32_t> runs[3];
  const std::uint64_t seeds[3] = {7, 7, 8};
  for (int run = 0; run < 3; ++run) {
    Sampler sampler({.temperature = 1.0F, .seed = seeds[run]}, {});
    for (int i = 0; i < 50; ++i) runs[run].push_back(pick(sampler, logits));
  }
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_NE(runs[0], runs[2]);
}

TEST(Sampler, SeededUniformIsEvenAndKnown) {
  double sum = 0.0;
  double squares = 0.0;
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const double u = seeded_uniform(3, i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    squares += u * u;
  }
  EXPECT_NEAR(sum / 100000, 0.5, 0.005);
  EXPECT_NEAR(squares / 100000, 1.0 / 3, 0.005);
  EXPECT_NE(seeded_uniform(3, 0), seeded_uniform(4, 0));
}

TEST(Sampler, RepetitionPenaltyCountsPromptAndAnswer) {
  const std::vector<std::int32_t> prompt = {0, 0, 2};
  Sampler sampler({.repetition_penalty = 2.0F}, prompt);
  EXPECT_EQ(pick(sampler, {3.0F, 2.0F, 3.5F, -1.0F}), 1);  // 1.5, 2, 1.75
  EXPECT_EQ(pick(sampler, {3.0F, 2.0F, 3.5F, -1.0F}), 2);  // 1 was answered: 1.5, 1, 1.75
  Sampler negative({.repetition_penalty = 2.0F}, prompt);
  EXPECT_EQ(pick(negative, {-1.0F, -1.9F, -1.5F, -9.0F}), 1);  // -2, -1.9, -3
}

TEST(Sampler, PresenceOnceFrequencyForEachTimeAndOnlyTheAnswer) {
  const std::vector<std::int32_t> prompt = {0};
  Sampler presence({.presence_penalty = 0.5F}, prompt);
  EXPECT_EQ(pick(presence, {1.0F, 0.9F, 0.4F}), 0);
  EXPECT_EQ(pick(presence, {1.0F, 0.9F, 0.4F}), 1);
  EXPECT_EQ(pick(presence, {1.0F, 0.9F, 0.4F}), 0);  // 0.5, 0.4, 0.4: it doesn't grow.
  Sampler frequency({.frequency_penalty = 0.5F}, prompt);
  EXPECT_EQ(pick(frequency, {1.0F, 0.2F}), 0);
  EXPECT_EQ(pick(frequency, {1.0F, 0.2F}), 0);
  EXPECT_EQ(pick(frequency, {1.0F, 0.2F}), 1);  // 0.0, 0.2
}

// Around every length at which the kernels change their loops.
TEST(LogitScan, FindsTheFirstLargestAndWhatIsNoNumber) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0.0F, 3.0F);
  for (const kernels::KernelSet* set : kernels::kernel_sets()) {
    for (const std::size_t n : {1, 2, 15, 16, 17, 31, 32, 33, 100, 1000}) {
      std::vector<float> x(n);
      for (float& value : x) value = std::round(normal(random));  // With equals.
      const auto largest = std::max_element(x.begin(), x.end());
      kernels::LogitScan scan = set->scan(x.data(), n);
      EXPECT_TRUE(scan.finite);
      EXPECT_EQ(scan.largest, *largest);
      EXPECT_EQ(scan.index, static_cast<std::size_t>(largest - x.begin()));
      double sum = 0.0;
      for (const float value : x) sum += std::exp(static_cast<double>(value) - static_cast<double>(*largest));
      EXPECT_NEAR(set->sum_of_exp(x.data(), n, *largest), sum, 1e-6 * sum);
      for (const std::size_t at : {std::size_t{0}, n / 2, n - 1}) {
        for (const float odd :
             {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
              std::numeric_limits<float>::quiet_NaN()}) {
          std::vector<float> spoiled = x;
          spoiled[at] = odd;
          EXPECT_FALSE(set->scan(spoiled.data(), n).finite);
        }
      }
    }
    const std::vector<float> edges{0.0F, -3e38F, 1e-45F};
    EXPECT_TRUE(set->scan(edges.data(), edges.size()).finite);
  }
}

TEST(SelectLargest, EqualsSortingAll) {
  std::mt19937 random(5);
  for (const std::size_t n : {1, 3, 63, 64, 65, 1000, 5000}) {
    std::vector<float> x(n);
    for (float& value : x) value = static_cast<float>(random() % (n / 2 + 1));
    std::vector<Ranked> all;
    for (std::size_t i = 0; i < n; ++i) all.push_back({x[i], static_cast<std::int32_t>(i)});
    std::stable_sort(all.begin(), all.end(),
                     [](const Ranked& a, const Ranked& b) { return a.value > b.value; });
    for (const std::size_t count :
         {std::size_t{0}, std::size_t{1}, std::size_t{5}, std::size_t{70}, n / 2, n, n + 9}) {
      std::vector<Ranked> got;
      select_largest(x, count, got);
      ASSERT_EQ(got.size(), std::min(count, n));
      for (std::size_t i = 0; i < got.size(); ++i) {
        ASSERT_EQ(got[i].id, all[i].id);
        ASSERT_EQ(got[i].value, all[i].value);
      }
    }
  }
}

// A large vocabulary with most of its weight on many tokens: cuts need a long front.
TEST(Sampler, CutsOfFlatDistributionsKeepWhatTheySay) {
  std::vector<double> p(20000);
  double all = 0.0;
  for (std::size_t i = 0; i < p.size(); ++i)
    all += p[i] = 1.0 / (100.0 + static_cast<double>((i * 7919) % p.size()));
  for (double& each : p) each /= all;
  std::vector<double> sorted = p;
  std::sort(sorted.rbegin(), sorted.rend());
  double sum = 0.0;
  std::size_t kept = 0;
  while (sum < 0.9) sum += sorted[kept++];
  ASSERT_GT(kept, 5000U);
  const double least = sorted[kept - 1];
  Sampler top_p({.temperature = 1.0F, .top_p = 0.9F, .seed = 3}, {});
  Sampler min_p({.temperature = 1.0F, .min_p = 0.02F, .seed = 3}, {});
  Sampler top_k({.temperature = 1.0F, .top_k = 4000, .seed = 3}, {});
  Sampler free({.temperature = 1.0F, .seed = 3}, {});
  double tenth = 0.0;  // Weight of the last tenth of what top_p keeps.
  for (std::size_t i = kept * 9 / 10; i < kept; ++i) tenth += sorted[i] / 0.9;
  std::size_t among_last = 0;
  std::size_t rare = 0;
  for (int i = 0; i < 300; ++i) {
    const double drawn = p[static_cast<std::size_t>(pick(top_p, logs(p)))];
    EXPECT_GE(drawn, least * 0.999);
    among_last += drawn <= sorted[kept * 9 / 10] ? 1 : 0;
    EXPECT_GE(p[static_cast<std::size_t>(pick(min_p, logs(p)))], 0.02 * sorted[0] * 0.999);
    EXPECT_GE(p[static_cast<std::size_t>(pick(top_k, logs(p)))], sorted[3999] * 0.999);
    rare += p[static_cast<std::size_t>(pick(free, logs(p)))] < least ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(rare) / 300, 0.1, 0.06);
  EXPECT_NEAR(static_cast<double>(among_last) / 300, tenth, 0.03);
}

TEST(Sampler, LogprobsAreThoseOfTheModelWhateverIsDoneToTheLogits) {
  const std::vector<double> p{0.1, 0.4, 0.05, 0.4, 0.05};
  Sampler sampler({.repetition_penalty = 2.0F,
                   .presence_penalty = 5.0F,
                   .temperature = 0.7F,
                   .top_k = 2,
                   .top_logprobs = 3,
                   .seed = 1},
                  std::vector<std::int32_t>{1});
  for (int i = 0; i < 5; ++i) {
    TokenLogprobs got;
    std::vector<float> logits = logs(p);
    for (float& logit : logits) logit += 7.0F;
    const std::int32_t id = sampler.pick(kernel_set(), logits, &got).value();
    EXPECT_NEAR(got.logprob, std::log(p[static_cast<std::size_t>(id)]), 1e-5);
    ASSERT_EQ(got.top.size(), 3U);
    EXPECT_EQ(got.top[0].first, 1);
    EXPECT_EQ(got.top[1].first, 3);
    EXPECT_EQ(got.top[2].first, 0);
    EXPECT_NEAR(got.top[2].second, std::log(0.1), 1e-5);
  }
}

}  // namespace
}  // namespace sluice::ops
