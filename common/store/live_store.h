// Short looks at many jobs for those who watch them live.
//
// Safe for concurrent use. Errors as in job_store.h.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ids/ids.h"
#include "common/job/job.h"

namespace sluice {

// What changes while a job waits and runs. Times as in Job.
struct JobGlance {
  JobId id;
  TenantId tenant;
  std::string model;
  Priority priority = Priority::kNormal;
  JobState state = JobState::kQueued;
  std::int64_t generation = 1;
  int attempt = 0;
  std::int64_t started_us = 0;
  std::int64_t prompt_tokens = 0;
  std::int64_t tokens_max = 0;  // Prompt and completion together.
};

// A job that waits.
struct WaitingJob {
  JobId id;
  std::int64_t tokens_max = 0;
};

// Those who compute a model, all together: who has been heard of lately and takes new jobs.
struct FleetRate {
  int places = 0;     // Jobs that they compute at once,
  int held_jobs = 0;  // and have.
  // In tokens that jobs may cost, as measured; 0 = not yet.
  std::int64_t tokens_per_s = 0;
  std::int64_t job_tokens_per_s = 0;  // Of one job.
};

class LiveStore {
 public:
  virtual ~LiveStore() = default;
  // One statement for all; in no order, and without those that aren't there.
  virtual Result<std::vector<JobGlance>> glance(std::span<const JobId> ids, Deadline deadline) = 0;
  // The first `limit` of those that wait: what the broker has, then by tenant, longest due first.
  virtual Result<std::vector<WaitingJob>> queue_front(const std::string& model, Priority priority, int limit,
                                                      Deadline deadline) = 0;
  virtual Result<FleetRate> fleet_rate(const std::string& model, Deadline deadline) = 0;
};

}  // namespace sluice
