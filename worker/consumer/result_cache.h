// Where ended jobs are put for quick reads. Speed, never truth: what can't be put is read from the database.
//
// Safe for concurrent use.
#pragma once

#include <span>

#include "common/base/result.h"
#include "common/job/job.h"

namespace sluice::worker {

class ResultCache {
 public:
  virtual ~ResultCache() = default;
  // On an error some of them may be there.
  virtual Status put(std::span<const Job> jobs, Deadline deadline) = 0;
};

}  // namespace sluice::worker
