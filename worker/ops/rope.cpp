#include "worker/ops/rope.h"

#include <cmath>

#include "common/base/check.h"

namespace sluice::ops {

Rope::Rope(const RopeConfig& config) : style_(config.style), frequencies_(config.dims / 2) {
  SLUICE_CHECK(config.frequency_divisors.empty() || config.frequency_divisors.size() == frequencies_.size());
  for (std::size_t i = 0; i < frequencies_.size(); ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(config.dims);
    frequencies_[i] = std::pow(config.base, exponent) * config.position_scale;
    if (!config.frequency_divisors.empty()) frequencies_[i] /= config.frequency_divisors[i];
  }
}

void Rope::angles(std::size_t position, float* to) const {
  for (const double frequency : frequencies_) {
    const double angle = static_cast<double>(position) * frequency;
    *to++ = static_cast<float>(std::cos(angle));
    *to++ = static_cast<float>(std::sin(angle));
  }
}

namespace {

// Numbers that are turned together lie `step` and `other` apart; both are constants where this is inlined.
inline __attribute__((always_inline)) void turn(const float* angles, float* x, std::size_t half,
                                                std::size_t step, std::size_t other) {
  for (std::size_t i = 0; i < half; ++i) {
    float& a = x[i * step];
    float& b = x[i * step + other];
    const float cosine = angles[2 * i];
    const float sine = angles[2 * i + 1];
    const float turned = a * cosine - b * sine;
    b = a * sine + b * cosine;
    a = turned;
  }
}

}  // namespace

void Rope::rotate(const float* angles, float* x, std::size_t heads, std::size_t head_dim) const {
  const std::size_t half = frequencies_.size();
  for (std::size_t head = 0; head < heads; ++head, x += head_dim) {
    if (style_ == RopeStyle::kHalves) {
      turn(angles, x, half, 1, half);
    } else {
      turn(angles, x, half, 2, 1);
    }
  }
}

}  // namespace sluice::ops
