// What follows from an attempt: delivered, another try after some time, or failed for good.
//
// 2xx is success. 410 (the receiver says that it is gone for good), an address that webhooks must not reach
// and a URL that is none are final. Everything else, redirects included, is tried again until the schedule
// ends.
//
// Safe for concurrent use.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>
#include <vector>

#include "callback/delivery/delivery.h"
#include "common/base/clock.h"
#include "common/base/rng.h"

namespace sluice::callback {

// The schedule of Standard Webhooks: ten tries over about three days.
std::vector<std::chrono::milliseconds> default_retry_delays();

struct RetryConfig {
  // The wait before each attempt, counted from the one before. As many attempts as entries.
  std::vector<std::chrono::milliseconds> delays = default_retry_delays();
  double jitter = 0.2;  // Each wait is scaled by a factor in [1 - jitter, 1 + jitter].
  // A receiver may ask for more patience (Retry-After), up to this; never for less than the schedule.
  std::chrono::milliseconds retry_after_max = std::chrono::hours(24);
};

class RetrySchedule {
 public:
  // `clock` and `rng` must outlive this. `config.delays` must not be empty.
  RetrySchedule(RetryConfig config, const Clock& clock, Rng& rng);

  // `attempts` is the number of attempts made, this one included. Not for kCancelled.
  Verdict verdict(const AttemptReport& report, int attempts) const;
  int attempts_max() const { return static_cast<int>(config_.delays.size()); }

 private:
  const RetryConfig config_;
  const Clock& clock_;
  Rng& rng_;
};

// The value of a Retry-After header, seconds or an HTTP date, as a wait from `now`; dates in the past are 0.
// nullopt: neither.
std::optional<std::chrono::milliseconds> parse_retry_after(std::string_view text, WallTime now);

}  // namespace sluice::callback
