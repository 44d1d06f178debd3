// Waiting times between attempts: doubling, capped, with jitter so that many clients do not retry in step.
#pragma once

#include "common/base/clock.h"
#include "common/base/rng.h"

namespace sluice {

struct BackoffConfig {
  Duration first = std::chrono::milliseconds(100);
  Duration max = std::chrono::seconds(5);
  double jitter = 0.2;  // Each wait is scaled by a factor in [1 - jitter, 1 + jitter].
};

// Not safe for concurrent use.
class Backoff {
 public:
  Backoff(BackoffConfig config, Rng& rng) : config_(config), rng_(rng) {}  // `rng` must outlive this.
  Duration next();
  void reset() { failures_ = 0; }

 private:
  BackoffConfig config_;
  Rng& rng_;
  int failures_ = 0;
};

// The wait before retry `failures` (1 = after the first failure) without jitter: first, 2·first, 4·first …
// max.
Duration backoff_delay(const BackoffConfig& config, int failures);

}  // namespace sluice
