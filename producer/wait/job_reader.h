// Reads jobs for clients: a finished one from Redis if it is there, else from the database, which is the
// truth.
//
// Safe for concurrent use. What it is given must outlive it.
#pragma once

#include <chrono>
#include <span>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/store/job_store.h"
#include "producer/metrics/producer_metrics.h"
#include "producer/wait/hot_jobs.h"

namespace sluice::producer {

class JobReader {
 public:
  JobReader(JobStore& store, HotJobs& hot, Clock& clock, ApiMetrics metrics)
      : store_(store), hot_(hot), clock_(clock), metrics_(std::move(metrics)) {}

  // kNotFound also for a job of another tenant. Else as JobStore::get.
  Result<Job> get(const TenantId& tenant, const JobId& id, Deadline deadline);
  // The job as the database has it now.
  Result<Job> get_fresh(const TenantId& tenant, const JobId& id, Deadline deadline);
  // Those of `ids` that are final; with `hot_first`, Redis is asked before the database. An error: the
  // database could not be read, and what Redis had is lost with it (the caller asks again).
  Result<std::vector<Job>> find_final(std::span<const JobId> ids, bool hot_first, Deadline deadline);

 private:
  Deadline hot_deadline(Deadline deadline) const;

  JobStore& store_;
  HotJobs& hot_;
  Clock& clock_;
  const ApiMetrics metrics_;
};

}  // namespace sluice::producer
