// JobStore on MySQL or MariaDB, the tables of schema/sql.
//
// Concurrent changes lock rows in the order of their ids; counters of batches come last, in the order of
// theirs. A statement that the database refuses is bisected, so that one bad row never fails its neighbours.
#pragma once

#include "common/ids/ids.h"
#include "common/mysql/mysql.h"
#include "common/store/job_store.h"

namespace sluice {

class MysqlJobStore final : public JobStore {
 public:
  // `pool` and `ids` must outlive the store.
  MysqlJobStore(MysqlPool& pool, IdMaker& ids, JobRules rules) : pool_(pool), ids_(ids), rules_(rules) {}

  std::vector<Status> submit(std::span<Submission> submissions, Deadline deadline) override;
  Result<Job> get(const TenantId& tenant, const JobId& id, Deadline deadline) override;
  Result<std::string> get_request(const TenantId& tenant, const JobId& id, Deadline deadline) override;
  Result<std::vector<Job>> get_final(std::span<const JobId> ids, Deadline deadline) override;
  Result<std::vector<Job>> list(const JobFilter& filter, Deadline deadline) override;
  Result<Job> cancel(const TenantId& tenant, const JobId& id, Deadline deadline) override;
  Result<Job> cancel_left(const TenantId& tenant, const JobId& id, Deadline deadline) override;
  Result<Job> erase(const TenantId& tenant, const JobId& id, Deadline deadline) override;
  Result<std::int64_t> count_queued(const std::string& model, Priority priority, std::int64_t count_max,
                                    Deadline deadline) override;
  Result<DueTenants> due_tenants(const std::string& model, Priority priority, const TenantId& after,
                                 int limit, Deadline deadline) override;
  Result<std::vector<DueTask>> due_tasks(const std::string& model, Priority priority,
                                         std::span<const TenantId> tenants, int limit,
                                         Deadline deadline) override;
  Result<std::vector<DueTask>> unstarted_tasks(const std::string& model, Priority priority,
                                               std::span<const int> shards, int limit,
                                               Deadline deadline) override;
  Status mark_tasks(std::span<const TaskRef> tasks, bool published, Deadline deadline) override;
  Result<std::vector<ClaimedJob>> claim(std::span<const TaskRef> tasks, const std::string& worker_id,
                                        Deadline deadline) override;
  Result<std::vector<TaskRef>> heartbeat(const std::string& worker_id, std::span<const TaskRef> held,
                                         Deadline deadline) override;
  Result<std::vector<EndingResult>> finish(std::span<const Ending> endings, Deadline deadline) override;
  Result<int> rescue_lapsed(int limit, Deadline deadline) override;
  Result<int> expire_due(int limit, Deadline deadline) override;
  Result<int> settle_followers(int limit, Deadline deadline) override;

 private:
  // One transaction for all; the caller bisects.
  Status submit_together(std::span<Submission> submissions, Deadline deadline);
  // Fills in `existing` where the key is taken.
  Status find_existing(std::span<Submission> submissions, Deadline deadline);
  void submit_unclaimed(std::span<Submission> submissions, std::span<Status> answers, Deadline deadline);
  void submit_bisecting(std::span<Submission> submissions, std::span<Status> answers, Deadline deadline);
  Result<std::vector<ClaimedJob>> claim_once(std::span<const TaskRef> tasks, const std::string& worker_id,
                                             bool again, Deadline deadline);
  Result<Job> cancel_one(const TenantId& tenant, const JobId& id, bool frees_key, Deadline deadline);
  Result<std::vector<EndingResult>> finish_together(std::span<const Ending> endings, Deadline deadline);

  MysqlPool& pool_;
  IdMaker& ids_;
  const JobRules rules_;
};

}  // namespace sluice
