// IdempotencyStore on MySQL or MariaDB.
#pragma once

#include "common/mysql/mysql.h"
#include "common/store/idempotency_store.h"

namespace sluice {

class MysqlIdempotencyStore final : public IdempotencyStore {
 public:
  // `pool` must outlive the store.
  explicit MysqlIdempotencyStore(MysqlPool& pool) : pool_(pool) {}
  Result<std::optional<IdempotencyRecord>> find_key(const TenantId& tenant, const std::string& key_hash,
                                                    Deadline deadline) override;
  Result<std::optional<IdempotencyRecord>> find_request(const TenantId& tenant,
                                                        const std::string& fingerprint, std::int64_t within_s,
                                                        Deadline deadline) override;
  Result<int> forget_expired(int limit, Deadline deadline) override;

 private:
  MysqlPool& pool_;
};

}  // namespace sluice
