// Tenants, API keys and the tenants' webhook secrets. Safe for concurrent use. Errors as in job_store.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/base/secret.h"
#include "common/ids/ids.h"

namespace sluice {

enum Scope : unsigned { kScopeSubmit = 1, kScopeRead = 2, kScopeAdmin = 4 };

struct Principal {
  TenantId tenant;
  unsigned scopes = 0;  // Of Scope, or-ed.
  std::string key_hint;
  std::string key_name;
};

class AccountStore {
 public:
  virtual ~AccountStore() = default;
  // kNotFound: no such key, or revoked.
  virtual Result<Principal> find_key(const Secret& api_key, Deadline deadline) = 0;
  // The tenant's `whsec_…` secret, opened. kNotFound: it has none.
  virtual Result<Secret> webhook_secret(const TenantId& tenant, Deadline deadline) = 0;

  // Idempotent set-up; an existing tenant or key is left as it is but for the values given. kConflict: the
  // key is another tenant's.
  virtual Status put_tenant(const TenantId& tenant, std::string_view name, const Secret& webhook_secret,
                            Deadline deadline) = 0;
  virtual Status put_key(const TenantId& tenant, std::string_view name, const Secret& api_key,
                         unsigned scopes, Deadline deadline) = 0;
};

}  // namespace sluice
