// Results where all producers find them. Speed, never truth: whatever fails is as if nothing were there.
// Safe for concurrent use.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/job/answer.h"

namespace sluice::producer {

class SharedAnswers {
 public:
  virtual ~SharedAnswers() = default;
  // One for each of `keys` (answer_cache_key()), in order.
  virtual std::vector<std::optional<Answer>> find(std::span<const std::string> keys, Deadline deadline) = 0;
};

}  // namespace sluice::producer
