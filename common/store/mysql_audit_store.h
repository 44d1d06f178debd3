// AuditStore on MySQL or MariaDB. `pool` and `ids` must outlive it.
#pragma once

#include "common/mysql/mysql.h"
#include "common/store/audit_store.h"

namespace sluice {

class MysqlAuditStore final : public AuditStore {
 public:
  MysqlAuditStore(MysqlPool& pool, IdMaker& ids) : pool_(pool), ids_(ids) {}
  Status record(AuditEntry entry, Deadline deadline) override;
  Result<std::vector<AuditEntry>> list_audit(const AuditFilter& filter, Deadline deadline) override;

 private:
  MysqlPool& pool_;
  IdMaker& ids_;
};

}  // namespace sluice
