// KeyStore on MySQL or MariaDB. `pool` and `ids` must outlive it.
#pragma once

#include "common/mysql/mysql.h"
#include "common/store/key_store.h"

namespace sluice {

class MysqlKeyStore final : public KeyStore {
 public:
  MysqlKeyStore(MysqlPool& pool, IdMaker& ids) : pool_(pool), ids_(ids) {}
  Result<std::vector<KeyInfo>> list_keys(const TenantId& tenant, Deadline deadline) override;
  Result<KeyInfo> create_key(const TenantId& tenant, const std::string& name, const Secret& api_key,
                             unsigned scopes, const Actor& actor, Deadline deadline) override;
  Result<KeyInfo> revoke_key(const std::string& id, const Actor& actor, Deadline deadline) override;

 private:
  MysqlPool& pool_;
  IdMaker& ids_;
};

}  // namespace sluice
