// Where the live text of running jobs is put, and where it is asked for. Speed, never truth: a job's end
// holds all of it.
//
// Safe for concurrent use.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ids/ids.h"
#include "common/live/live_text.h"

namespace sluice::worker {

class LiveSink {
 public:
  struct Write {
    JobId id;
    std::int64_t generation = 1;
    LiveText live;
    bool afresh = false;  // It holds the whole so far: what is there already may go.
  };

  virtual ~LiveSink() = default;
  // One answer for each, in order: false, what it follows is not there (any more), so that it wasn't put. On
  // an error some may have been.
  virtual Result<std::vector<bool>> put(std::span<const Write> writes, Deadline deadline) = 0;
  // One answer for each, in order: somebody reads along.
  virtual Result<std::vector<bool>> watched(std::span<const JobId> ids, Deadline deadline) = 0;
};

}  // namespace sluice::worker
