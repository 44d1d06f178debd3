#include "producer/wait/job_reader.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace sluice::producer {

namespace {
// What a slow Redis may cost a read that has the database to go to.
constexpr std::chrono::milliseconds kHotTimeout{100};
}  // namespace

Deadline JobReader::hot_deadline(Deadline deadline) const {
  return Deadline(std::min(deadline.at(), clock_.steady_now() + kHotTimeout));
}

Result<Job> JobReader::get(const TenantId& tenant, const JobId& id, Deadline deadline) {
  auto hot = hot_.find(std::span(&id, 1), hot_deadline(deadline));
  if (hot.front() && hot.front()->tenant == tenant) {
    metrics_.job_reads.with({"redis"}).add();
    return std::move(*hot.front());
  }
  return get_fresh(tenant, id, deadline);
}

Result<Job> JobReader::get_fresh(const TenantId& tenant, const JobId& id, Deadline deadline) {
  metrics_.job_reads.with({"mysql"}).add();
  return store_.get(tenant, id, deadline);
}

Result<std::vector<Job>> JobReader::find_final(std::span<const JobId> ids, bool hot_first,
                                               Deadline deadline) {
  std::vector<Job> jobs;
  std::vector<JobId> left;
  if (hot_first) {
    auto hot = hot_.find(ids, hot_deadline(deadline));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (hot[i]) {
        jobs.push_back(std::move(*hot[i]));
      } else {
        left.push_back(ids[i]);
      }
    }
    metrics_.job_reads.with({"redis"}).add(static_cast<double>(jobs.size()));
    if (left.empty()) return jobs;
    ids = left;
  }
  SLUICE_ASSIGN(auto stored, store_.get_final(ids, deadline));
  metrics_.job_reads.with({"mysql"}).add(static_cast<double>(stored.size()));
  std::move(stored.begin(), stored.end(), std::back_inserter(jobs));
  return jobs;
}

}  // namespace sluice::producer
