// How fast the engine gets through jobs, as measured lately while it was at work.
//
// It counts what jobs might have cost (prompt and the most that they may say), for that is all that is known
// of those that wait. Not safe for concurrent use.
#pragma once

#include <cmath>
#include <cstdint>

#include "common/base/clock.h"

namespace sluice::worker {

struct Rates {
  std::int64_t tokens_per_s = 0;      // Of all jobs together; 0 = nothing was measured yet.
  std::int64_t job_tokens_per_s = 0;  // Of one job while it is computed.
};

class RateMeter {
 public:
  // Jobs of `tokens` ended that were computed for `computed` in all, and the engine worked for `busy`.
  void add(std::size_t tokens, Duration computed, Duration busy) {
    const double busy_s = std::chrono::duration<double>(busy).count();
    const double kept = std::exp2(-busy_s / kHalfLifeS);
    tokens_ = tokens_ * kept + static_cast<double>(tokens);
    computed_s_ = computed_s_ * kept + std::chrono::duration<double>(computed).count();
    busy_s_ = busy_s_ * kept + busy_s;
  }
  Rates rates() const { return {rate(busy_s_), rate(computed_s_)}; }

 private:
  // Of work, not of time: what was measured before a quiet night still tells.
  static constexpr double kHalfLifeS = 30;
  // Less than a nanosecond's work is no measure.
  std::int64_t rate(double seconds) const {
    if (seconds < 1e-9) return 0;
    return static_cast<std::int64_t>(std::min(std::ceil(tokens_ / seconds), 4e9));
  }

  double tokens_ = 0;
  double computed_s_ = 0;
  double busy_s_ = 0;
};

}  // namespace sluice::worker
