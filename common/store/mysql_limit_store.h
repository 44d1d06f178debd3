// LimitStore on MySQL.
#pragma once

#include "common/mysql/mysql.h"
#include "common/store/limit_store.h"

namespace sluice {

class MysqlLimitStore final : public LimitStore {
 public:
  // Both must outlive the store.
  MysqlLimitStore(MysqlPool& pool, IdMaker& ids) : pool_(pool), ids_(ids) {}

  Result<std::vector<RateLimit>> list_limits(Deadline deadline) override;
  Result<RateLimit> set_limit(const RateLimit& limit, const Actor& actor, Deadline deadline) override;
  Status unset_limit(const std::string& name, const Actor& actor, Deadline deadline) override;

 private:
  MysqlPool& pool_;
  IdMaker& ids_;
};

}  // namespace sluice
