// The live text of jobs as the feed reads it. Speed, never truth: the feed goes on without it.
//
// Safe for concurrent use.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/live/live_text.h"

namespace sluice::producer {

class LiveStreams {
 public:
  struct Place {
    std::string key;    // live_text_key().
    std::string after;  // The id of the last entry that was read; "0" for none.
  };
  struct News {
    std::size_t place = 0;  // Index of the Place asked about.
    std::string last;       // The id of the last of these entries.
    std::vector<LiveText> entries;
  };

  virtual ~LiveStreams() = default;
  // What came after each place, as far as one answer holds it; doesn't wait. Places without news are left
  // out.
  virtual Result<std::vector<News>> read(std::span<const Place> places, Deadline deadline) = 0;
  // Asks the workers to tell these jobs' text; holds for kWatchedFor.
  virtual Status ask_for(std::span<const JobId> ids, Deadline deadline) = 0;
  static constexpr std::chrono::seconds kWatchedFor{30};
};

}  // namespace sluice::producer
