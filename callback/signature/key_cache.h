// The tenants' signing keys, kept for a short while so that a burst of webhooks is no burst of queries. A
// changed secret takes effect within the cache's time.
//
// Safe for concurrent use.
#pragma once

#include <chrono>
#include <string>
#include <unordered_map>
#include <vector>

#include "callback/signature/signature.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/ids/ids.h"
#include "common/store/account_store.h"

namespace sluice::callback {

class KeyCache {
 public:
  // `accounts` and `clock` must outlive this.
  KeyCache(AccountStore& accounts, const Clock& clock, std::chrono::milliseconds keep,
           std::size_t tenants_max = 10'000);

  // The keys to sign with, first the newest. kNotFound: the tenant has no secret. kInvalid: it is malformed.
  // Otherwise as AccountStore::webhook_secret; only successes are kept.
  Result<std::vector<SigningKey>> keys(const TenantId& tenant, Deadline deadline) EXCLUDES(mutex_);

 private:
  struct Kept {
    std::vector<SigningKey> keys;
    SteadyTime until;
  };
  AccountStore& accounts_;
  const Clock& clock_;
  const std::chrono::milliseconds keep_;
  const std::size_t tenants_max_;
  Mutex mutex_;
  std::unordered_map<TenantId, Kept> kept_ GUARDED_BY(mutex_);
};

}  // namespace sluice::callback
