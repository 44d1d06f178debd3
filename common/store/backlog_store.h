// How much waits: for a model, and of a tenant. Sums over an index alone, some milliseconds for 100,000 jobs.
//
// Safe for concurrent use. Errors as in job_store.h.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ids/ids.h"
#include "common/job/job.h"

namespace sluice {

struct Backlog {
  std::int64_t jobs = 0;
  std::int64_t tokens = 0;   // What they may cost: prompts and longest answers.
  std::int64_t tenants = 0;  // Whose they are.
};

class BacklogStore {
 public:
  virtual ~BacklogStore() = default;
  // Queued jobs by class.
  virtual Result<std::array<Backlog, kPriorities>> model_backlog(const std::string& model,
                                                                 Deadline deadline) = 0;
  // A tenant's queued jobs for any model, the lines of its batches included.
  virtual Result<Backlog> tenant_backlog(const TenantId& tenant, std::span<const std::string> models,
                                         Deadline deadline) = 0;
};

}  // namespace sluice
