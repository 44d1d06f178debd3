// All jobs that a dispatcher would look at now, for tests that are one.
#pragma once

#include <string>
#include <vector>

#include "common/ids/ids.h"
#include "common/store/job_store.h"

namespace sluice::testing {

inline std::vector<int> all_shards() {
  std::vector<int> shards;
  for (int shard = 0; shard < kShards; ++shard) shards.push_back(shard);
  return shards;
}

// `limit` for each tenant, and for what was published before. Any shard.
inline Result<std::vector<DueTask>> all_due_tasks(JobStore& store, const std::string& model,
                                                  Priority priority, int limit, Deadline deadline) {
  SLUICE_ASSIGN(const DueTenants tenants, store.due_tenants(model, priority, TenantId{}, 1000, deadline));
  SLUICE_ASSIGN(auto due, store.due_tasks(model, priority, tenants.tenants, limit, deadline));
  SLUICE_ASSIGN(const auto unstarted, store.unstarted_tasks(model, priority, all_shards(), limit, deadline));
  due.insert(due.end(), unstarted.begin(), unstarted.end());
  return due;
}

}  // namespace sluice::testing
