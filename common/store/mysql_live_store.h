// LiveStore on MySQL or MariaDB.
#pragma once

#include "common/mysql/mysql.h"
#include "common/store/live_store.h"

namespace sluice {

class MysqlLiveStore final : public LiveStore {
 public:
  explicit MysqlLiveStore(MysqlPool& pool) : pool_(pool) {}  // `pool` must outlive the store.
  Result<std::vector<JobGlance>> glance(std::span<const JobId> ids, Deadline deadline) override;
  Result<std::vector<WaitingJob>> queue_front(const std::string& model, Priority priority, int limit,
                                              Deadline deadline) override;
  Result<FleetRate> fleet_rate(const std::string& model, Deadline deadline) override;

 private:
  MysqlPool& pool_;
};

}  // namespace sluice
