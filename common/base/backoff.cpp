#include "common/base/backoff.h"

#include <algorithm>

namespace sluice {

Duration backoff_delay(const BackoffConfig& config, int failures) {
  const int doublings = std::clamp(failures - 1, 0, 40);
  const double wanted = static_cast<double>(config.first.count()) * static_cast<double>(1LL << doublings);
  return Duration(static_cast<Duration::rep>(std::min(wanted, static_cast<double>(config.max.count()))));
}

Duration Backoff::next() {
  const Duration plain = backoff_delay(config_, ++failures_);
  const double factor = 1.0 + config_.jitter * (2.0 * rng_.uniform() - 1.0);
  return Duration(static_cast<Duration::rep>(static_cast<double>(plain.count()) * factor));
}

}  // namespace sluice
