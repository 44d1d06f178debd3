// Who runs the background loops of which shard: one owner each, by a lease on the database's clock. Every
// effect of the loops is idempotent and conditional, so two owners for a moment cost work, never correctness;
// the fence, which grows with each change of owner, says in the logs who was the later one.
//
// Safe for concurrent use. Errors as in job_store.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace sluice {

struct OwnedShard {
  int shard = 0;
  std::uint64_t fence = 0;
};

class ShardLeases {
 public:
  virtual ~ShardLeases() = default;
  // Extends what `owner` holds and takes what nobody does. Answers all that it holds now.
  virtual Result<std::vector<OwnedShard>> renew(const std::string& role, const std::string& owner,
                                                std::chrono::milliseconds lease, Deadline deadline) = 0;
  virtual Status release(const std::string& role, const std::string& owner, Deadline deadline) = 0;
};

}  // namespace sluice
