#include "worker/ops/sampler.h"

#include <algorithm>
#include <numeric>

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

bool all_finite(std::span<const float> values) {
  std::size_t bad = 0;
  for (const float value : values)
    bad += (kernels::bits_of_float(value) & 0x7F800000U) == 0x7F800000U ? 1 : 0;
  return bad == 0;
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

std::int32_t Sampler::pick(const kernels::KernelSet& kernels, std::span<float> logits) {
  penalize(logits);
  const std::int32_t id =
      config_.temperature > 0.0F
          ? draw(kernels, logits)
          : static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  if (config_.repetition_penalty != 1.0F || config_.frequency_penalty != 0.0F ||
      config_.presence_penalty != 0.0F) {
    ++answer_[id];
  }
  return id;
}

std::int32_t Sampler::draw(const kernels::KernelSet& kernels, std::span<float> logits) {
  const double uniform = seeded_uniform(config_.seed, draws_++);
  const float inverse = 1.0F / std::max(config_.temperature, 1e-4F);
  const float largest = *std::max_element(logits.begin(), logits.end());
  // Relative to the largest first: a low temperature must not carry a logit out of range.
  for (float& logit : logits) logit = (logit - largest) * inverse;
  kernels.softmax(logits.data(), logits.size());
  const std::span<const float> probabilities = logits;

  const std::size_t all = probabilities.size();
  std::size_t kept =
      config_.top_k > 0 ? std::min<std::size_t>(all, static_cast<std::size_t>(config_.top_k)) : all;
  order_.resize(all);
  std::iota(order_.begin(), order_.end(), 0);
  const auto likelier = [&](std::int32_t a, std::int32_t b) {
    const float pa = probabilities[static_cast<std::size_t>(a)];
    const float pb = probabilities[static_cast<std::size_t>(b)];
    return pa != pb ? pa > pb : a < b;
  };
  const auto probability = [&](std::size_t rank) {
    return static_cast<double>(probabilities[static_cast<std::size_t>(order_[rank])]);
  };

  const bool cut = kept < all || config_.top_p < 1.0F || config_.min_p > 0.0F;
  std::size_t sorted = cut ? 0 : all;  // Without a cut the order doesn't matter.
  // The likeliest tokens are wanted, and mostly few of them: sort a growing front instead of the whole.
  const auto sort_front = [&](std::size_t wanted) {
    wanted = std::min(wanted, all);
    const auto from = order_.begin() + static_cast<std::ptrdiff_t>(sorted);
    const auto to = order_.begin() + static_cast<std::ptrdiff_t>(wanted);
    if (to != order_.end()) std::nth_element(from, to, order_.end(), likelier);
    std::sort(from, to, likelier);
    sorted = wanted;
  };
  if (cut) {
    if (kept < all) sort_front(kept);
    double total = 1.0;
    if (kept < all) {
      total = 0.0;
      for (std::size_t rank = 0; rank < kept; ++rank) total += probability(rank);
    }
    double sum = 0.0;
    double floor = 0.0;
    for (std::size_t rank = 0; rank < kept; ++rank) {
      if (rank == sorted) sort_front(std::max<std::size_t>(64, 4 * sorted));
      if (rank == 0) floor = config_.min_p * probability(0);
      if (rank > 0 && (sum >= config_.top_p * total || probability(rank) < floor))
        kept = rank;
      else
        sum += probability(rank);
    }
  }
  double sum = 0.0;
  for (std::size_t rank = 0; rank < kept; ++rank) sum += probability(rank);
  double left = uniform * sum;
  std::size_t last = 0;  // Rounding may leave a little at the end; then the last possible one is it.
  for (std::size_t rank = 0; rank < kept; ++rank) {
    if (probability(rank) <= 0.0) continue;
    last = rank;
    left -= probability(rank);
    if (left < 0.0) break;
  }
  return order_[last];
}

}  // namespace sluice::ops
