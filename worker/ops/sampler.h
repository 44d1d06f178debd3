// Picks the next token from logits.
//
// A Sampler belongs to one sequence and one thread at a time. What it picks depends on the logits, the tokens
// seen and the seed alone: draw number n of a seed is always the same number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "worker/kernels/kernels.h"

namespace sluice::ops {

// In the order in which they act. Defaults are "off", and greedy.
struct SamplerConfig {
  float repetition_penalty = 1.0F;  // Divides positive logits (multiplies negative ones) of tokens seen.
  float frequency_penalty = 0.0F;   // Subtracted once for each time that the answer has the token.
  float presence_penalty = 0.0F;    // Subtracted once if the answer has the token.
  float temperature = 0.0F;  // 0: the largest logit wins (the lowest id among equals); nothing below acts.
  int top_k = 0;             // Keeps the k likeliest; 0: all.
  float top_p = 1.0F;        // Keeps the fewest likeliest whose probabilities reach this sum.
  float min_p = 0.0F;        // Keeps those at least this fraction as likely as the likeliest.
  int top_logprobs = 0;      // How many of the likeliest pick() names where it is asked for logprobs.
  std::uint64_t seed = 0;
};

// Logarithms of probabilities by the logits as they came: before penalties, temperature and cuts.
struct TokenLogprobs {
  float logprob = 0.0F;                             // Of the pick.
  std::vector<std::pair<std::int32_t, float>> top;  // The likeliest first, the lowest id among equals.
};

struct Ranked {
  float value = 0.0F;
  std::int32_t id = 0;
};

// The `count` largest, the largest first and the lowest id first among equals; at most all of them. One pass,
// and little more than its reading where few are wanted of many.
void select_largest(std::span<const float> values, std::size_t count, std::vector<Ranked>& to);

class Sampler {
 public:
  Sampler(const SamplerConfig& config, std::span<const std::int32_t> prompt);

  // The logits are changed. The pick counts as seen from now on. Where `logprobs` is given it is filled in.
  // Empty: not all logits are finite; then nothing has happened.
  std::optional<std::int32_t> pick(const kernels::KernelSet& kernels, std::span<float> logits,
                                   TokenLogprobs* logprobs = nullptr);

 private:
  void penalize(std::span<float> logits) const;
  std::int32_t draw(const kernels::KernelSet& kernels, std::span<float> logits, float largest);
  void cut(std::span<const float> probabilities);
  void cut_many(std::span<const float> probabilities, double wanted, double floor);

  SamplerConfig config_;
  std::unordered_set<std::int32_t> prompt_;                 // Kept only if the repetition penalty is on.
  std::unordered_map<std::int32_t, std::uint32_t> answer_;  // Times picked; kept if any penalty is on.
  std::uint64_t draws_ = 0;
  // Working memory.
  std::vector<Ranked> front_, edge_;
  std::vector<double> drawers_;
  std::vector<float> raw_;
  std::vector<double> stretches_;
};

// Number `index` of the seed's sequence, evenly distributed in [0, 1).
double seeded_uniform(std::uint64_t seed, std::uint64_t index);

}  // namespace sluice::ops
