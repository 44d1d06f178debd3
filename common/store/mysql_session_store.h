// SessionStore on MySQL or MariaDB.
#pragma once

#include "common/mysql/mysql.h"
#include "common/store/session_store.h"

namespace sluice {

class MysqlSessionStore final : public SessionStore {
 public:
  // `pool` must outlive the store.
  explicit MysqlSessionStore(MysqlPool& pool) : pool_(pool) {}
  Result<std::optional<SessionRecord>> find_session(const TenantId& tenant, const std::string& session_id,
                                                    Deadline deadline) override;
  Result<int> forget_sessions(int limit, Deadline deadline) override;

 private:
  MysqlPool& pool_;
};

}  // namespace sluice
