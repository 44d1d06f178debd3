#include "callback/signature/key_cache.h"

namespace sluice::callback {

KeyCache::KeyCache(AccountStore& accounts, EndpointSecrets& endpoints, const Clock& clock,
                   std::chrono::milliseconds keep, std::size_t entries_max)
    : accounts_(accounts), endpoints_(endpoints), clock_(clock), keep_(keep), entries_max_(entries_max) {}

Result<std::vector<SigningKey>> KeyCache::keys(const TenantId& tenant, Deadline deadline) {
  return find("tenant:" + tenant.value, [&]() -> Result<std::vector<Secret>> {
    SLUICE_ASSIGN(Secret secret, accounts_.webhook_secret(tenant, deadline));
    std::vector<Secret> secrets;
    secrets.push_back(std::move(secret));
    return secrets;
  });
}

Result<std::vector<SigningKey>> KeyCache::keys(const WebhookEndpointId& endpoint, Deadline deadline) {
  return find(endpoint.value, [&] { return endpoints_.secrets(endpoint, deadline); });
}

Result<std::vector<SigningKey>> KeyCache::find(const std::string& owner,
                                               const std::function<Result<std::vector<Secret>>()>& ask) {
  {
    MutexLock lock(mutex_);
    const auto found = kept_.find(owner);
    if (found != kept_.end() && clock_.steady_now() < found->second.until) return found->second.keys;
  }
  // Asked without the lock: two threads may ask at once, which costs a query and nothing else.
  SLUICE_ASSIGN(const std::vector<Secret> secrets, ask());
  std::vector<SigningKey> keys;
  for (const Secret& secret : secrets) {
    SLUICE_ASSIGN(SigningKey key, SigningKey::parse(secret));
    keys.push_back(std::move(key));
  }

  MutexLock lock(mutex_);
  if (kept_.size() >= entries_max_ && !kept_.contains(owner)) kept_.clear();
  kept_[owner] = Kept{keys, clock_.steady_now() + keep_};
  return keys;
}

}  // namespace sluice::callback
