// The job as everybody sees it: its states, the one table of transitions, and its record.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ids/ids.h"

namespace sluice {

// docs/ARCHITECTURE.md draws this. `failed`: the request itself can't succeed. `dead`: attempts used up, or
// poison.
enum class JobState { kQueued, kRunning, kSucceeded, kFailed, kDead, kCancelled, kExpired };
inline constexpr int kJobStates = 7;

std::string_view job_state_name(JobState state);
std::optional<JobState> job_state_from(std::string_view name);
bool is_final(JobState state);
// Whether the one table of transitions allows it. `from == to` is never a transition.
bool can_become(JobState from, JobState to);
// "job.succeeded" and so on; only for final states.
std::string_view job_event_type(JobState final_state);

enum class Priority { kHigh = 0, kNormal = 1, kLow = 2 };
inline constexpr int kPriorities = 3;
std::string_view priority_name(Priority priority);
std::optional<Priority> priority_from(std::string_view name);

// In whose shape a job is asked for and answered: ours, or one of OpenAI's (common/openai/).
enum class Surface { kJob, kChat, kCompletion, kResponse };
inline constexpr int kSurfaces = 4;
std::string_view surface_name(Surface surface);  // job | chat | completion | response
std::optional<Surface> surface_from(std::string_view name);

// What a client is told went wrong; the four members of an OpenAI error object.
struct JobError {
  std::string code;
  std::string message;
  std::string type;
  std::string param;  // Empty = null.
  bool operator==(const JobError&) const = default;
};

struct JobResult {
  std::string text;
  std::string reasoning_content;  // Empty = null.
  std::string finish_reason;      // "stop" or "length".
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t cached_tokens = 0;     // Of the prompt: not computed for this job.
  std::int64_t reasoning_tokens = 0;  // Of the completion.
  std::string logprobs_json;          // The object of docs/api.md, or empty.
  std::string precision;              // Of the weights: "F16", "Q8_0" …; empty = null.
  bool operator==(const JobResult&) const = default;
};

// One row of truth. Times are the database's, in microseconds since 1970; 0 = not yet.
struct Job {
  JobId id;
  TenantId tenant;
  BatchId batch_id;  // Empty = none.
  std::string model;
  Priority priority = Priority::kNormal;
  Surface surface = Surface::kJob;
  JobState state = JobState::kQueued;
  std::int64_t generation = 1;  // + 1 with each redrive.
  int attempt = 0;              // Starts in this generation.
  std::int64_t created_us = 0;
  std::int64_t started_us = 0;
  std::int64_t finished_us = 0;
  std::int64_t expires_us = 0;
  std::string metadata_json;  // An object, or empty.
  std::string callback_url;   // Empty = none.
  JobId leader_id;            // Whose result it waits for, or was given; empty = it is computed by itself.
  std::optional<JobResult> result;
  std::optional<JobError> error;
  // What it was asked and answered was taken away (JobStore::erase). Only the database knows: neither the
  // public object nor a copy in Redis says so.
  bool erased = false;
};

// The public job object of docs/api.md.
nlohmann::json job_to_json(const Job& job);
// The reverse, for copies in Redis (internal form with tenant and callback). kCorrupt if it is not one.
std::string job_to_cache(const Job& job);
Result<Job> job_from_cache(std::string_view text);

}  // namespace sluice
