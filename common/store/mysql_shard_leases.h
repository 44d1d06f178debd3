// ShardLeases on MySQL or MariaDB.
#pragma once

#include "common/mysql/mysql.h"
#include "common/store/shard_leases.h"

namespace sluice {

class MysqlShardLeases final : public ShardLeases {
 public:
  explicit MysqlShardLeases(MysqlPool& pool) : pool_(pool) {}  // `pool` must outlive this.

  Result<std::vector<OwnedShard>> renew(const std::string& role, const std::string& owner,
                                        std::chrono::milliseconds lease, Deadline deadline) override;
  Status release(const std::string& role, const std::string& owner, Deadline deadline) override;

 private:
  MysqlPool& pool_;
};

}  // namespace sluice
