// Results that equal requests of a tenant share, as the record has them. Accepting and ending jobs uses and
// makes them (JobStore); this is for the rest.
//
// Safe for concurrent use. Errors as those of JobStore.
#pragma once

#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ids/ids.h"
#include "common/job/answer.h"

namespace sluice {

class AnswerStore {
 public:
  virtual ~AnswerStore() = default;
  // Also one whose time is over, until it is forgotten. Nothing: none is known.
  virtual Result<std::optional<Answer>> find_answer(const TenantId& tenant, const std::string& key,
                                                    Deadline deadline) = 0;
  // Forgets up to `limit` that were stale for kStaleAnswerS. Answers how many.
  virtual Result<int> forget_answers(int limit, Deadline deadline) = 0;
};

}  // namespace sluice
