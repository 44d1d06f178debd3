// FleetStore on MySQL or MariaDB. `pool` and `ids` must outlive it.
#pragma once

#include "common/mysql/mysql.h"
#include "common/store/fleet_store.h"

namespace sluice {

class MysqlFleetStore final : public FleetStore {
 public:
  MysqlFleetStore(MysqlPool& pool, IdMaker& ids) : pool_(pool), ids_(ids) {}

  Result<Pause> set_pause(const Pause& pause, Deadline deadline) override;
  Status resume(PauseKind kind, const std::string& name, const Actor& actor, Deadline deadline) override;
  Result<std::vector<Pause>> list_pauses(Deadline deadline) override;
  Result<bool> beat(const WorkerBeat& beat, Deadline deadline) override;
  Status forget_worker(const std::string& id, Deadline deadline) override;
  Result<std::vector<WorkerInfo>> list_workers(Deadline deadline) override;
  Result<WorkerInfo> set_draining(const std::string& id, bool draining, const Actor& actor,
                                  Deadline deadline) override;
  Status cancel_job(const JobId& id, const Actor& actor, Deadline deadline) override;
  Result<std::vector<WaitingJobs>> waiting_jobs(Deadline deadline) override;
  Result<Overview> overview(Deadline deadline) override;

 private:
  MysqlPool& pool_;
  IdMaker& ids_;
};

}  // namespace sluice
