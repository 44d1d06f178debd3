#include "worker/kernels/formats/search.h"

#include <algorithm>
#include <cmath>

#include "worker/kernels/formats/blocks.h"
#include "worker/kernels/half.h"

namespace sluice::kernels {
namespace {

// Four floats at a time, in the compiler's own vectors: the same operations in the same order everywhere.
using Four = float __attribute__((vector_size(16)));

Four load(const float* from) {
  Four v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

Four all(float value) {
  return Four{value, value, value, value};
}

float sum(Four v) {
  return (v[0] + v[2]) + (v[1] + v[3]);
}

// Adding and taking away 1.5 · 2^23 leaves no bits below 1: rounds to nearest for magnitudes below 2^22.
Four nearest(Four v, Four least, Four most) {
  v = v < least ? least : v;
  v = v > most ? most : v;
  const Four magic = all(12582912.0F);
  return (v + magic) - magic;
}

constexpr float kHalfMost = 65504.0F;
// Below this the largest number of a group makes a scale that is zero as a half, whatever the format.
constexpr float kTiny = 1e-12F;

// Σ w q x and Σ w q q of the codes that `inverse` gives.
struct Sums {
  float qx;
  float qq;
};

template <std::size_t N>
Sums code_sums(const float* x, const float* w, float inverse, CodeRange range) {
  const Four least = all(static_cast<float>(range.least));
  const Four most = all(static_cast<float>(range.most));
  Four qx = all(0.0F);
  Four qq = all(0.0F);
  for (std::size_t i = 0; i < N; i += 4) {
    const Four value = load(x + i);
    const Four code = nearest(value * all(inverse), least, most);
    const Four weighted = load(w + i) * code;
    qx += weighted * value;
    qq += weighted * code;
  }
  return {sum(qx), sum(qq)};
}

// What Σ w (x - min - scale · q)² needs for both unknowns.
struct LineSums {
  float q;
  float qq;
  float qx;
};

template <std::size_t N>
LineSums line_sums(const float* x, const float* w, float inverse, float min, int most) {
  const Four zero = all(0.0F);
  const Four top = all(static_cast<float>(most));
  Four q = zero;
  Four qq = zero;
  Four qx = zero;
  for (std::size_t i = 0; i < N; i += 4) {
    const Four value = load(x + i);
    const Four code = nearest((value + all(min)) * all(inverse), zero, top);
    const Four weighted = load(w + i) * code;
    q += weighted;
    qq += weighted * code;
    qx += weighted * value;
  }
  return {sum(q), sum(qq), sum(qx)};
}

// Grid of starts: how many codes beyond the last one the largest number would need. Positive cuts it off.
constexpr float kGridFrom = -0.9F;
constexpr float kGridStep = 0.2F;
constexpr int kGridSteps = 10;
constexpr int kRounds = 4;

std::int16_t clamp_code(float value, CodeRange range) {
  const float clamped =
      std::min(std::max(value, static_cast<float>(range.least)), static_cast<float>(range.most));
  return static_cast<std::int16_t>(std::nearbyint(clamped));
}

float over(float value, float scale) {
  return scale == 0.0F ? 0.0F : value / scale;
}

}  // namespace

std::uint16_t scale_to_half(float scale) {
  if (!(std::fabs(scale) <= kHalfMost)) {
    scale = std::isnan(scale) ? 0.0F : std::copysign(kHalfMost, scale);
  }
  return float_to_half(scale);
}

void error_weights(const float* importance, std::size_t n, float* weights) {
  float total = 0.0F;
  for (std::size_t i = 0; i < n; ++i) {
    weights[i] = importance != nullptr ? importance[i] : 1.0F;
    total += weights[i];
  }
  if (total > 0.0F && std::isfinite(total)) return;
  std::fill_n(weights, n, 1.0F);  // Nothing counts: then everything does.
}

template <std::size_t N>
float best_scale(const float* x, const float* w, CodeRange range) {
  float peak = 0.0F;
  for (std::size_t i = 0; i < N; ++i) {
    if (std::fabs(x[i]) > std::fabs(peak)) peak = x[i];
  }
  if (std::fabs(peak) < kTiny) return 0.0F;
  float best_gain = 0.0F;
  float best = peak / static_cast<float>(range.least);
  const auto consider = [&](float inverse) {
    const Sums sums = code_sums<N>(x, w, inverse, range);
    if (!(sums.qq > 0.0F)) return false;
    const float gain = sums.qx * (sums.qx / sums.qq);
    if (!(gain > best_gain)) return false;
    best_gain = gain;
    best = sums.qx / sums.qq;
    return true;
  };
  for (int step = 0; step < kGridSteps; ++step) {
    const float beyond = kGridFrom + kGridStep * static_cast<float>(step);
    consider((static_cast<float>(range.least) - beyond) / peak);
    consider((static_cast<float>(range.most) + beyond) / peak);
  }
  for (int round = 0; round < kRounds && best != 0.0F; ++round) {
    if (!consider(1.0F / best)) break;
  }
  return best;
}

template <std::size_t N>
ScaleMin best_scale_min(const float* x, const float* w, int most, bool min_positive) {
  float low = x[0];
  float high = x[0];
  float weight = 0.0F;
  float weighted = 0.0F;
  for (std::size_t i = 0; i < N; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
    weight += w[i];
    weighted += w[i] * x[i];
  }
  if (min_positive) low = std::min(low, 0.0F);
  const float width = high - low;
  if (width < kTiny) return {0.0F, -low};
  // Σ w x² is the same for all, so it is left out of the errors that are compared.
  ScaleMin best{width / static_cast<float>(most), -low};
  float best_error = INFINITY;
  const auto consider = [&](float inverse, float min) {
    const LineSums sums = line_sums<N>(x, w, inverse, min, most);
    const float determinant = weight * sums.qq - sums.q * sums.q;
    if (!(determinant > 0.0F)) return false;
    float scale = (weight * sums.qx - sums.q * weighted) / determinant;
    float base = (sums.qq * weighted - sums.q * sums.qx) / determinant;
    if (min_positive && base > 0.0F) {
      base = 0.0F;
      scale = sums.qx / sums.qq;
    }
    if (!(scale > 0.0F)) return false;
    const float error = scale * scale * sums.qq + base * base * weight + 2.0F * scale * base * sums.q -
                        2.0F * scale * sums.qx - 2.0F * base * weighted;
    if (!(error < best_error)) return false;
    best_error = error;
    best = {scale, -base};
    return true;
  };
  for (int step = 0; step < 2 * kGridSteps; ++step) {
    const float beyond = kGridFrom + 0.5F * kGridStep * static_cast<float>(step);
    consider((static_cast<float>(most) + beyond) / width, -low);
  }
  for (int round = 0; round < kRounds; ++round) {
    if (!consider(1.0F / best.scale, best.min)) break;
  }
  return best;
}

template <std::size_t N>
float round_to_codes(const float* x, const float* w, ScaleMin by, CodeRange range, std::int8_t* codes) {
  const float inverse = over(1.0F, by.scale);
  const Four least = all(static_cast<float>(range.least));
  const Four most = all(static_cast<float>(range.most));
  Four error = all(0.0F);
  for (std::size_t i = 0; i < N; i += 4) {
    const Four value = load(x + i);
    const Four code = nearest((value + all(by.min)) * all(inverse), least, most);
    const Four off = value - (code * all(by.scale) - all(by.min));
    error += load(w + i) * off * off;
    if (codes != nullptr) {
      for (int lane = 0; lane < 4; ++lane) {
        codes[i + static_cast<std::size_t>(lane)] = static_cast<std::int8_t>(code[lane]);
      }
    }
  }
  return sum(error);
}

namespace {

constexpr int kSuperRounds = 3;

// The error without the codes.
template <std::size_t N>
float rounding_error(const float* x, const float* w, ScaleMin by, CodeRange range) {
  return round_to_codes<N>(x, w, by, range, nullptr);
}

// Integers of each group for given factors: the neighbours of the rounded ones that leave the least error.
template <std::size_t N>
float choose_with_mins(const float* x, const float* w, int code_most, int group_most, const ScaleMin* wanted,
                       SuperScales& super) {
  const float scale = half_to_float(super.scale);
  const float min = half_to_float(super.min);
  const CodeRange group_range{0, group_most};
  float total = 0.0F;
  for (std::size_t g = 0; g < kSuperBlock / N; ++g) {
    const int near_scale = clamp_code(over(wanted[g].scale, scale), group_range);
    const int near_min = clamp_code(over(wanted[g].min, min), group_range);
    float best_error = INFINITY;
    for (int s = std::max(0, near_scale - 1); s <= std::min(group_most, near_scale + 1); ++s) {
      for (int m = std::max(0, near_min - 1); m <= std::min(group_most, near_min + 1); ++m) {
        const float error =
            rounding_error<N>(x + g * N, w + g * N,
                              {scale * static_cast<float>(s), min * static_cast<float>(m)}, {0, code_most});
        if (error < best_error || best_error == INFINITY) {
          best_error = error;
          super.scales[g] = static_cast<std::int16_t>(s);
          super.mins[g] = static_cast<std::int16_t>(m);
        }
      }
    }
    total += best_error;
  }
  return total;
}

template <std::size_t N>
float choose_symmetric(const float* x, const float* w, CodeRange codes, CodeRange group_range,
                       const float* wanted, SuperScales& super) {
  const float scale = half_to_float(super.scale);
  float total = 0.0F;
  for (std::size_t g = 0; g < kSuperBlock / N; ++g) {
    const int near = clamp_code(over(wanted[g], scale), group_range);
    float best_error = INFINITY;
    for (int s = std::max(group_range.least, near - 1); s <= std::min(group_range.most, near + 1); ++s) {
      const float error =
          rounding_error<N>(x + g * N, w + g * N, {scale * static_cast<float>(s), 0.0F}, codes);
      if (error < best_error || best_error == INFINITY) {
        best_error = error;
        super.scales[g] = static_cast<std::int16_t>(s);
      }
    }
    total += best_error;
  }
  return total;
}

}  // namespace

template <std::size_t N>
SuperScales search_with_mins(const float* x, const float* w, int code_most, int group_most,
                             std::int8_t* codes) {
  constexpr std::size_t kGroups = kSuperBlock / N;
  ScaleMin wanted[kGroups];
  float scale_most = 0.0F;
  float min_most = 0.0F;
  for (std::size_t g = 0; g < kGroups; ++g) {
    wanted[g] = best_scale_min<N>(x + g * N, w + g * N, code_most, true);
    scale_most = std::max(scale_most, wanted[g].scale);
    min_most = std::max(min_most, wanted[g].min);
  }
  SuperScales best;
  SuperScales trial;
  trial.scale = scale_to_half(scale_most / static_cast<float>(group_most));
  trial.min = scale_to_half(min_most / static_cast<float>(group_most));
  float best_error = INFINITY;
  for (int round = 0; round < kSuperRounds; ++round) {
    const float error = choose_with_mins<N>(x, w, code_most, group_most, wanted, trial);
    if (round > 0 && !(error < best_error)) break;
    best_error = error;
    best = trial;
    // Least squares for both factors with all integers fixed: x ≈ scale · a - min · m with a = scales[g] ·
    // code.
    double aa = 0.0;
    double am = 0.0;
    double mm = 0.0;
    double ax = 0.0;
    double mx = 0.0;
    for (std::size_t g = 0; g < kGroups; ++g) {
      const ScaleMin by{half_to_float(best.scale) * static_cast<float>(best.scales[g]),
                        half_to_float(best.min) * static_cast<float>(best.mins[g])};
      round_to_codes<N>(x + g * N, w + g * N, by, {0, code_most}, codes + g * N);
      const double m = best.mins[g];
      for (std::size_t i = g * N; i < (g + 1) * N; ++i) {
        const double a = static_cast<double>(best.scales[g]) * codes[i];
        aa += w[i] * a * a;
        am += w[i] * a * m;
        mm += w[i] * m * m;
        ax += w[i] * a * x[i];
        mx += w[i] * m * x[i];
      }
    }
    const double determinant = aa * mm - am * am;
    double scale = 0.0;
    double min = 0.0;
    if (determinant > 1e-9 * aa * mm) {
      scale = (ax * mm - am * mx) / determinant;
      min = (am * ax - aa * mx) / determinant;
    } else if (aa > 0.0) {
      scale = ax / aa;
    }
    if (!(scale > 0.0) || !(min >= 0.0)) break;
    trial.scale = scale_to_half(static_cast<float>(scale));
    trial.min = scale_to_half(static_cast<float>(min));
  }
  for (std::size_t g = 0; g < kGroups; ++g) {
    const ScaleMin by{half_to_float(best.scale) * static_cast<float>(best.scales[g]),
                      half_to_float(best.min) * static_cast<float>(best.mins[g])};
    round_to_codes<N>(x + g * N, w + g * N, by, {0, code_most}, codes + g * N);
  }
  return best;
}

template <std::size_t N>
SuperScales search_symmetric(const float* x, const float* w, CodeRange code_range, CodeRange group_range,
                             std::int8_t* codes) {
  constexpr std::size_t kGroups = kSuperBlock / N;
  float wanted[kGroups];
  float peak = 0.0F;
  for (std::size_t g = 0; g < kGroups; ++g) {
    wanted[g] = best_scale<N>(x + g * N, w + g * N, code_range);
    if (std::fabs(wanted[g]) > std::fabs(peak)) peak = wanted[g];
  }
  SuperScales best;
  SuperScales trial;
  trial.scale = scale_to_half(peak / static_cast<float>(group_range.least));
  float best_error = INFINITY;
  for (int round = 0; round < kSuperRounds; ++round) {
    const float error = choose_symmetric<N>(x, w, code_range, group_range, wanted, trial);
    if (round > 0 && !(error < best_error)) break;
    best_error = error;
    best = trial;
    double aa = 0.0;
    double ax = 0.0;
    for (std::size_t g = 0; g < kGroups; ++g) {
      const float scale = half_to_float(best.scale) * static_cast<float>(best.scales[g]);
      round_to_codes<N>(x + g * N, w + g * N, {scale, 0.0F}, code_range, codes + g * N);
      for (std::size_t i = g * N; i < (g + 1) * N; ++i) {
        const double a = static_cast<double>(best.scales[g]) * codes[i];
        aa += w[i] * a * a;
        ax += w[i] * a * x[i];
      }
    }
    if (!(aa > 0.0)) break;
    trial.scale = scale_to_half(static_cast<float>(ax / aa));
  }
  for (std::size_t g = 0; g < kGroups; ++g) {
    const float scale = half_to_float(best.scale) * static_cast<float>(best.scales[g]);
    round_to_codes<N>(x + g * N, w + g * N, {scale, 0.0F}, code_range, codes + g * N);
  }
  return best;
}

template float best_scale<16>(const float*, const float*, CodeRange);
template float best_scale<32>(const float*, const float*, CodeRange);
template ScaleMin best_scale_min<16>(const float*, const float*, int, bool);
template ScaleMin best_scale_min<32>(const float*, const float*, int, bool);
template float round_to_codes<16>(const float*, const float*, ScaleMin, CodeRange, std::int8_t*);
template float round_to_codes<32>(const float*, const float*, ScaleMin, CodeRange, std::int8_t*);
template SuperScales search_with_mins<16>(const float*, const float*, int, int, std::int8_t*);
template SuperScales search_with_mins<32>(const float*, const float*, int, int, std::int8_t*);
template SuperScales search_symmetric<16>(const float*, const float*, CodeRange, CodeRange, std::int8_t*);

}  // namespace sluice::kernels
