// The event that tells how a job ended.
#pragma once

#include <optional>
#include <string_view>

#include "common/job/job.h"

namespace sluice {

// Its type: job_event_type(), but for a response one of OpenAI's, "response.completed" and so on. Of a job
// that succeeded `result` must be there.
std::string_view end_event_type(Surface surface, JobState final_state,
                                const std::optional<JobResult>& result);

}  // namespace sluice
