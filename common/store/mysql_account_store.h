// AccountStore on MySQL or MariaDB.
#pragma once

#include "common/base/rng.h"
#include "common/crypto/crypto.h"
#include "common/mysql/mysql.h"
#include "common/store/account_store.h"

namespace sluice {

class MysqlAccountStore final : public AccountStore {
 public:
  // `pool` and `rng` must outlive the store. `sealer` holds the master key; services that open no secrets
  // pass none, and webhook_secret() and put_tenant() then fail with kInternal.
  MysqlAccountStore(MysqlPool& pool, Rng& rng, std::optional<Sealer> sealer)
      : pool_(pool), rng_(rng), sealer_(std::move(sealer)) {}

  Result<Principal> find_key(const Secret& api_key, Deadline deadline) override;
  Result<Secret> webhook_secret(const TenantId& tenant, Deadline deadline) override;
  Status put_tenant(const TenantId& tenant, std::string_view name, const Secret& webhook_secret,
                    Deadline deadline) override;
  Status put_key(const TenantId& tenant, std::string_view name, const Secret& api_key, unsigned scopes,
                 Deadline deadline) override;

 private:
  MysqlPool& pool_;
  Rng& rng_;
  const std::optional<Sealer> sealer_;
};

}  // namespace sluice
