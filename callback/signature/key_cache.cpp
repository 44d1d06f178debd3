#include "callback/signature/key_cache.h"

namespace sluice::callback {

KeyCache::KeyCache(AccountStore& accounts, const Clock& clock, std::chrono::milliseconds keep,
                   std::size_t tenants_max)
    : accounts_(accounts), clock_(clock), keep_(keep), tenants_max_(tenants_max) {}

Result<std::vector<SigningKey>> KeyCache::keys(const TenantId& tenant, Deadline deadline) {
  {
    MutexLock lock(mutex_);
    const auto found = kept_.find(tenant);
    if (found != kept_.end() && clock_.steady_now() < found->second.until) return found->second.keys;
  }
  // Asked without the lock: two threads may ask at once, which costs a query and nothing else.
  SLUICE_ASSIGN(const Secret secret, accounts_.webhook_secret(tenant, deadline));
  SLUICE_ASSIGN(SigningKey key, SigningKey::parse(secret));
  std::vector<SigningKey> keys;
  keys.push_back(std::move(key));

  MutexLock lock(mutex_);
  if (kept_.size() >= tenants_max_ && !kept_.contains(tenant)) kept_.clear();
  kept_[tenant] = Kept{keys, clock_.steady_now() + keep_};
  return keys;
}

}  // namespace sluice::callback
