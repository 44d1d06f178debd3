// Token buckets. One holds up to `quota` tokens, gains `quota` in each `window_ms`, and begins full.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace sluice::producer {

struct Charge {
  std::string bucket;
  double quota = 0;
  std::int64_t window_ms = 0;
  double cost = 0;
};

struct Charged {
  bool allowed = false;
  // Of each bucket, in the order of the charges: after the charge if allowed, else as they stand.
  std::vector<double> levels;
};

class Buckets {
 public:
  virtual ~Buckets() = default;
  // Takes all of `charges` or none. One over its bucket's whole quota is taken from a full bucket, which then
  // owes the rest. Safe for concurrent use. kUnavailable, kDeadline, kOutcomeUnknown: nobody can tell.
  virtual Result<Charged> charge(std::span<const Charge> charges, Deadline deadline) = 0;
};

// How long until a bucket at `level` allows `charge`; 0: it does.
std::int64_t wait_ms(const Charge& charge, double level);

}  // namespace sluice::producer
