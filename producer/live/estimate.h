// When a job may start and end. Plain values; the functions are safe for concurrent use.
#pragma once

#include <cstdint>
#include <optional>

namespace sluice::producer {

struct Estimate {
  // Jobs of its model before it, as far as its class and the time of its acceptance tell; none for a running
  // one.
  std::optional<std::int64_t> queue_position;
  // Microseconds since 1970; 0 = not known.
  std::int64_t start_us = 0;
  std::int64_t finish_us = 0;
  bool operator==(const Estimate&) const = default;
};

}  // namespace sluice::producer
