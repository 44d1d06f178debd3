// The signing keys of tenants and of registered endpoints, kept for a short while so that a burst of webhooks
// is no burst of queries. A changed secret takes effect within the cache's time.
//
// Safe for concurrent use.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "callback/signature/signature.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/ids/ids.h"
#include "common/store/account_store.h"
#include "common/store/webhook_endpoint_store.h"

namespace sluice::callback {

class KeyCache {
 public:
  // What is referred to must outlive this. `entries_max`: owners whose keys are kept.
  KeyCache(AccountStore& accounts, EndpointSecrets& endpoints, const Clock& clock,
           std::chrono::milliseconds keep, std::size_t entries_max = 10'000);

  // The keys to sign with, first the newest. kNotFound: there is no secret. kInvalid: it is malformed.
  // Otherwise as AccountStore::webhook_secret; only successes are kept.
  Result<std::vector<SigningKey>> keys(const TenantId& tenant, Deadline deadline);
  Result<std::vector<SigningKey>> keys(const WebhookEndpointId& endpoint, Deadline deadline);

 private:
  struct Kept {
    std::vector<SigningKey> keys;
    SteadyTime until;
  };
  Result<std::vector<SigningKey>> find(const std::string& owner,
                                       const std::function<Result<std::vector<Secret>>()>& ask)
      EXCLUDES(mutex_);

  AccountStore& accounts_;
  EndpointSecrets& endpoints_;
  const Clock& clock_;
  const std::chrono::milliseconds keep_;
  const std::size_t entries_max_;
  Mutex mutex_;
  std::unordered_map<std::string, Kept> kept_ GUARDED_BY(mutex_);
};

}  // namespace sluice::callback
