#include "worker/ops/sampler.h"

#include <gtest/gtest.h>

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
  return sampler.pick(kernel_set(), logits);
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

TEST(AllFinite, SeesInfinityAndNan) {
  EXPECT_TRUE(all_finite(std::vector<float>{0.0F, -3e38F, 1e-45F}));
  EXPECT_FALSE(all_finite(std::vector<float>{0.0F, std::numeric_limits<float>::infinity()}));
  EXPECT_FALSE(all_finite(std::vector<float>{std::numeric_limits<float>::quiet_NaN(), 0.0F}));
}

}  // namespace
}  // namespace sluice::ops
