// Where ended jobs, and results that others share, are put for quick reads. Speed, never truth: what can't be
// put is read from the database.
//
// Safe for concurrent use.
#pragma once

#include <span>

#include "common/base/result.h"
#include "common/store/job_store.h"

namespace sluice::worker {

class ResultCache {
 public:
  virtual ~ResultCache() = default;
  // On an error some of them may be there.
  // Each of `ended` has its job.
  virtual Status put(std::span<const EndingResult> ended, Deadline deadline) = 0;
};

}  // namespace sluice::worker
