// API keys, as operators make, see and revoke them. A key itself is seen once, by whoever makes it; what is
// kept is its hash. Safe for concurrent use. Errors as in job_store.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/base/secret.h"
#include "common/ids/ids.h"
#include "common/store/account_store.h"
#include "common/store/audit_store.h"

namespace sluice {

struct KeyInfo {
  std::string id;  // "key_" and the first 16 hex digits of its hash, which tell nothing about the key.
  TenantId tenant;
  std::string name;
  std::string hint;  // Its last characters.
  unsigned scopes = 0;
  std::int64_t created_us = 0;
  std::int64_t revoked_us = 0;  // 0 = it works.
};

class KeyStore {
 public:
  virtual ~KeyStore() = default;
  // The newest first; `tenant` empty: of all.
  virtual Result<std::vector<KeyInfo>> list_keys(const TenantId& tenant, Deadline deadline) = 0;
  // kNotFound: there is no such tenant. kConflict: that very key is there already.
  virtual Result<KeyInfo> create_key(const TenantId& tenant, const std::string& name, const Secret& api_key,
                                     unsigned scopes, const Actor& actor, Deadline deadline) = 0;
  // kNotFound: there is no such key. A revoked one stays as it is.
  virtual Result<KeyInfo> revoke_key(const std::string& id, const Actor& actor, Deadline deadline) = 0;
};

bool is_key_id(std::string_view id);

}  // namespace sluice
