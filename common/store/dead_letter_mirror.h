// What of the table dead_letter the broker's queue tasks.dead shows, for RabbitMQ's own tools. The table is
// the truth, the queue a picture of it that may lag behind or show a letter twice.
//
// Safe for concurrent use. Errors as in job_store.h.
#pragma once

#include <span>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/store/dead_letter_store.h"

namespace sluice {

struct LettersToSend {
  std::vector<DeadLetter> letters;
  bool again = false;  // Some of them were to be sent before, and perhaps were.
};

class DeadLetterMirror {
 public:
  virtual ~DeadLetterMirror() = default;
  // Unhandled letters that the queue doesn't show, the first job first. From here on it perhaps does.
  virtual Result<LettersToSend> begin_sending(int limit, Deadline deadline) = 0;
  // Handled letters that the queue shows, perhaps: it should not.
  virtual Result<std::vector<LetterRef>> stale_letters(int limit, Deadline deadline) = 0;
  // From here on the queue shows them, or doesn't.
  virtual Status mark_letters(std::span<const LetterRef> letters, bool shown, Deadline deadline) = 0;
  // Which of these are unhandled.
  virtual Result<std::vector<LetterRef>> unhandled_letters(std::span<const LetterRef> letters,
                                                           Deadline deadline) = 0;
  // The queue lost everything: marks at most `limit` unhandled letters as not shown. Returns how many.
  virtual Result<int> forget_shown(int limit, Deadline deadline) = 0;
};

}  // namespace sluice
