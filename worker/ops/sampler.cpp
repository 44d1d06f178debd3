#include "worker/ops/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "worker/kernels/half.h"

namespace sluice::ops {
namespace {

std::uint64_t mix(std::uint64_t x) {
  // The finaliser of SplitMix64.
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

}  // namespace

double seeded_uniform(std::uint64_t seed, std::uint64_t index) {
  const std::uint64_t bits = mix(mix(seed + 0x9E3779B97F4A7C15U) + (index + 1) * 0x9E3779B97F4A7C15U);
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

void select_largest(std::span<const float> values, std::size_t count, std::vector<Ranked>& to) {
  to.clear();
  count = std::min(count, values.size());
  if (count == 0) return;
  const auto before = [](const Ranked& a, const Ranked& b) {
    return a.value != b.value ? a.value > b.value : a.id < b.id;
  };
  const auto shrink = [&] {
    std::nth_element(to.begin(), to.begin() + static_cast<std::ptrdiff_t>(count) - 1, to.end(), before);
    to.resize(count);
  };
  const std::size_t most = std::max<std::size_t>(2 * count, 128);
  // Ids come in order, so of equals those that are in already win.
  float bar = -std::numeric_limits<float>::infinity();
  bool is_full = false;
  const auto consider = [&](std::size_t i) {
    if (is_full && !(values[i] > bar)) return;
    to.push_back({values[i], static_cast<std::int32_t>(i)});
    if (to.size() < most) return;
    shrink();
    bar = to[count - 1].value;
    is_full = true;
  };
  std::size_t i = 0;
  constexpr std::size_t kStretch = 64;
  for (; i + kStretch <= values.size(); i += kStretch) {
    if (is_full) {
      std::uint32_t above = 0;
      for (std::size_t k = 0; k < kStretch; ++k) above += values[i + k] > bar ? 1 : 0;
      if (above == 0) continue;
    }
    for (std::size_t k = 0; k < kStretch; ++k) consider(i + k);
  }
  for (; i < values.size(); ++i) consider(i);
  if (to.size() > count) shrink();
  std::sort(to.begin(), to.end(), before);
}

Sampler::Sampler(const SamplerConfig& config, std::span<const std::int32_t> prompt) : config_(config) {
  if (config_.repetition_penalty != 1.0F) prompt_.insert(prompt.begin(), prompt.end());
}

void Sampler::penalize(std::span<float> logits) const {
  const auto repeat = [&](std::int32_t id) {
    float& logit = logits[static_cast<std::size_t>(id)];
    logit = logit > 0.0F ? logit / config_.repetition_penalty : logit * config_.repetition_penalty;
  };
  if (config_.repetition_penalty != 1.0F) {
    for (const std::int32_t id : prompt_) repeat(id);
  }
  for (const auto& [id, times] : answer_) {
    if (config_.repetition_penalty != 1.0F && !prompt_.contains(id)) repeat(id);
    logits[static_cast<std::size_t>(id)] -=
        config_.presence_penalty + config_.frequency_penalty * static_cast<float>(times);
  }
}

std::optional<std::int32_t> Sampler::pick(const kernels::KernelSet& kernels, std::span<float> logits,
                                          TokenLogprobs* logprobs) {
  kernels::LogitScan scan = kernels.scan(logits.data(), logits.size());
  if (!scan.finite) return std::nullopt;
  double all = 0.0;  // The logarithm of what probabilities are relative to.
  if (logprobs != nullptr) {
    raw_.assign(logits.begin(), logits.end());
    all = static_cast<double>(scan.largest) +
          std::log(kernels.sum_of_exp(logits.data(), logits.size(), scan.largest));
  }
  const bool penalties = config_.repetition_penalty != 1.0F || config_.frequency_penalty != 0.0F ||
                         config_.presence_penalty != 0.0F;
  if (penalties) {
    penalize(logits);
    scan = kernels.scan(logits.data(), logits.size());
  }
  const std::int32_t id = config_.temperature > 0.0F ? draw(kernels, logits, scan.largest)
                                                     : static_cast<std::int32_t>(scan.index);
  if (penalties) ++answer_[id];
  if (logprobs != nullptr) {
    const auto relative = [all](float logit) {
      return static_cast<float>(std::min(0.0, static_cast<double>(logit) - all));
    };
    logprobs->logprob = relative(raw_[static_cast<std::size_t>(id)]);
    select_largest(raw_, static_cast<std::size_t>(config_.top_logprobs), front_);
    logprobs->top.clear();
    for (const Ranked& likely : front_) logprobs->top.emplace_back(likely.id, relative(likely.value));
  }
  return id;
}

// Leaves in front_ what top_k, top_p and min_p keep, the likeliest first unless those are many.
void Sampler::cut(std::span<const float> probabilities) {
  const std::size_t all = probabilities.size();
  const std::size_t kept_most =
      config_.top_k > 0 ? std::min(all, static_cast<std::size_t>(config_.top_k)) : all;
  // Mostly few are kept: look at the likeliest first. With top_k their sum counts as everything.
  const std::size_t looked_at = kept_most < all ? kept_most : std::min<std::size_t>(64, all);
  select_largest(probabilities, looked_at, front_);
  double total = 1.0;
  if (kept_most < all) {
    total = 0.0;
    for (const Ranked& likely : front_) total += static_cast<double>(likely.value);
  }
  const double wanted = static_cast<double>(config_.top_p) * total;
  const double floor = static_cast<double>(config_.min_p) * static_cast<double>(front_.front().value);
  double sum = 0.0;
  std::size_t kept = 0;
  for (; kept < front_.size(); ++kept) {
    const double probability = static_cast<double>(front_[kept].value);
    if (kept > 0 && (sum >= wanted || probability < floor)) break;
    sum += probability;
  }
  if (kept == front_.size() && looked_at < kept_most) {
    cut_many(probabilities, wanted, floor);
  } else {
    front_.resize(kept);
  }
}

// The same for top_p and min_p where many are kept. Sorting them would take longer than all else: likely
// tokens are put in drawers by the first bits of their probability, and only the drawer in which the sum is
// reached is sorted.
void Sampler::cut_many(std::span<const float> probabilities, double wanted, double floor) {
  constexpr std::uint32_t kShift = 18;  // Leaves 32 drawers for each power of two.
  const auto drawer = [](float probability) { return kernels::bits_of_float(probability) >> kShift; };
  drawers_.assign(drawer(1.0F) + 2, 0.0);
  for (const float probability : probabilities) {
    // A sum of rounded numbers may make one a little more than 1.
    const std::size_t at = std::min<std::size_t>(drawer(probability), drawers_.size() - 1);
    drawers_[at] += static_cast<double>(probability);
  }
  double sum = 0.0;
  std::size_t last = drawers_.size() - 1;
  while (last > 0 && sum + drawers_[last] < wanted) sum += drawers_[last--];
  front_.clear();
  edge_.clear();
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    const std::size_t at = std::min<std::size_t>(drawer(probabilities[i]), drawers_.size() - 1);
    if (at < last || static_cast<double>(probabilities[i]) < floor) continue;
    (at > last ? front_ : edge_).push_back({probabilities[i], static_cast<std::int32_t>(i)});
  }
  std::sort(edge_.begin(), edge_.end(), [](const Ranked& a, const Ranked& b) {
    return a.value != b.value ? a.value > b.value : a.id < b.id;
  });
  for (const Ranked& likely : edge_) {
    if (sum >= wanted && !front_.empty()) break;
    sum += static_cast<double>(likely.value);
    front_.push_back(likely);
  }
}

std::int32_t Sampler::draw(const kernels::KernelSet& kernels, std::span<float> logits, float largest) {
  const double uniform = seeded_uniform(config_.seed, draws_++);
  const float inverse = 1.0F / std::max(config_.temperature, 1e-4F);
  // Relative to the largest first: a low temperature must not carry a logit out of range.
  for (float& logit : logits) logit = (logit - largest) * inverse;
  kernels.softmax(logits.data(), logits.size());
  const std::span<const float> probabilities = logits;

  const bool is_cut = config_.top_k > 0 || config_.top_p < 1.0F || config_.min_p > 0.0F;
  if (is_cut) {
    cut(probabilities);
    double sum = 0.0;
    for (const Ranked& likely : front_) sum += static_cast<double>(likely.value);
    double left = uniform * sum;
    std::int32_t last =
        front_.front().id;  // Rounding may leave a little at the end; then the last possible is it.
    for (const Ranked& likely : front_) {
      if (likely.value <= 0.0F) continue;
      last = likely.id;
      left -= static_cast<double>(likely.value);
      if (left < 0.0) break;
    }
    return last;
  }
  // In the order of ids: first the stretch, then the one in it.
  constexpr std::size_t kStretch = 256;
  const std::size_t stretches = (probabilities.size() + kStretch - 1) / kStretch;
  stretches_.resize(stretches);
  double sum = 0.0;
  for (std::size_t s = 0; s < stretches; ++s) {
    const std::span<const float> own =
        probabilities.subspan(s * kStretch, std::min(kStretch, probabilities.size() - s * kStretch));
    double partial[8] = {};
    std::size_t i = 0;
    for (; i + 8 <= own.size(); i += 8) {
      for (std::size_t lane = 0; lane < 8; ++lane) partial[lane] += static_cast<double>(own[i + lane]);
    }
    for (; i < own.size(); ++i) partial[0] += static_cast<double>(own[i]);
    stretches_[s] = ((partial[0] + partial[4]) + (partial[2] + partial[6])) +
                    ((partial[1] + partial[5]) + (partial[3] + partial[7]));
    sum += stretches_[s];
  }
  double left = uniform * sum;
  for (std::size_t s = 0; s < stretches; ++s) {
    if (left >= stretches_[s] && s + 1 < stretches) {
      left -= stretches_[s];
      continue;
    }
    const std::size_t end = std::min(probabilities.size(), (s + 1) * kStretch);
    for (std::size_t i = s * kStretch; i < end; ++i) {
      if (probabilities[i] <= 0.0F) continue;
      left -= static_cast<double>(probabilities[i]);
      if (left < 0.0) return static_cast<std::int32_t>(i);
    }
  }
  // Rounding left a little at the end: the last possible one.
  std::size_t last = probabilities.size() - 1;
  while (last > 0 && probabilities[last] <= 0.0F) --last;
  return static_cast<std::int32_t>(last);
}

}  // namespace sluice::ops
