// BacklogStore on MySQL.
#pragma once

#include "common/mysql/mysql.h"
#include "common/store/backlog_store.h"

namespace sluice {

class MysqlBacklogStore final : public BacklogStore {
 public:
  // It must outlive the store.
  explicit MysqlBacklogStore(MysqlPool& pool) : pool_(pool) {}

  Result<std::array<Backlog, kPriorities>> model_backlog(const std::string& model,
                                                         Deadline deadline) override;
  Result<Backlog> tenant_backlog(const TenantId& tenant, std::span<const std::string> models,
                                 Deadline deadline) override;

 private:
  MysqlPool& pool_;
};

}  // namespace sluice
