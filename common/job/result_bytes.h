// What copies of results take.
#pragma once

#include <cstddef>

#include "common/job/job.h"

namespace sluice {

// About: of what may be large.
inline std::size_t result_bytes(const JobResult& result) {
  return result.text.size() + result.reasoning_content.size() + result.logprobs_json.size();
}

}  // namespace sluice
