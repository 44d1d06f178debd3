#include "common/job/end_event.h"

namespace sluice {

std::string_view end_event_type(Surface surface, JobState final_state,
                                const std::optional<JobResult>& result) {
  if (surface != Surface::kResponse) return job_event_type(final_state);
  switch (final_state) {
    case JobState::kSucceeded:
      return result && result->finish_reason == "length" ? "response.incomplete" : "response.completed";
    case JobState::kCancelled:
      return "response.cancelled";
    default:
      return "response.failed";
  }
}

}  // namespace sluice
