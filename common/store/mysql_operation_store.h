// OperationStore on MySQL or MariaDB.
//
// Locks, in this order: the operation, jobs by id, their letters, batches by id.
#pragma once

#include <map>

#include "common/mysql/mysql.h"
#include "common/store/job_rows.h"
#include "common/store/job_store.h"
#include "common/store/operation_store.h"

namespace sluice {

class MysqlOperationStore final : public OperationStore {
 public:
  // `pool` and `ids` must outlive it. `jobs` are the rules of new jobs: a redriven one starts under them.
  MysqlOperationStore(MysqlPool& pool, IdMaker& ids, JobRules jobs, OperationRules rules)
      : pool_(pool), ids_(ids), jobs_(jobs), rules_(rules) {}

  Result<Operation> start_operation(const NewOperation& asked, const Actor& actor,
                                    Deadline deadline) override;
  Result<Operation> get_operation(const OperationId& id, Deadline deadline) override;
  Result<std::vector<Operation>> list_operations(const OperationFilter& filter, Deadline deadline) override;
  Result<OperationOutcome> operation_outcome(const OperationId& id, Deadline deadline) override;
  Result<Operation> continue_operation(const OperationId& id, const Actor& actor, Deadline deadline) override;
  Result<Operation> cancel_operation(const OperationId& id, const Actor& actor, Deadline deadline) override;
  Result<OperationStep> step_operation(Deadline deadline) override;

 private:
  struct Progress;
  Result<Operation> change_state(const OperationId& id, OperationState to, const Actor& actor,
                                 Deadline deadline);
  // Names the operation in `stepping` as soon as it is chosen.
  Result<OperationStep> step(MysqlConnection& db, OperationId& stepping, Deadline deadline);
  void put_off(const OperationId& id, const Error& error, Deadline deadline);
  Status move(MysqlConnection& db, const store::DbNow& now, const Operation& operation,
              const std::vector<DeadLetter>& letters, Progress& progress, Deadline deadline);
  Status redrive(MysqlConnection& db, const store::DbNow& now, const Operation& operation,
                 const std::vector<store::LockedJob>& jobs, Deadline deadline);
  Status write_progress(MysqlConnection& db, const store::DbNow& now, Operation& operation,
                        const Progress& progress, Deadline deadline);

  MysqlPool& pool_;
  IdMaker& ids_;
  const JobRules jobs_;
  const OperationRules rules_;
};

}  // namespace sluice
