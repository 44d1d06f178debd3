// Who sends a request: the API key in `Authorization: Bearer` or `X-API-Key`, looked up in the accounts with
// a short memory of what was found, so that the database isn't asked for each request.
//
// Safe for concurrent use. Store, clock must outlive it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <unordered_map>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/secret.h"
#include "common/http/router.h"
#include "common/store/account_store.h"
#include "producer/guard/guard.h"
#include "producer/metrics/producer_metrics.h"

namespace sluice::producer {

struct AuthenticatorConfig {
  std::chrono::milliseconds remember{5'000};          // A revoked key works for this long.
  std::chrono::milliseconds remember_unknown{1'000};  // A new key is refused for this long if it was tried.
  // While the database is down, keys that were good this long ago still are: finished jobs can be read.
  std::chrono::milliseconds outage_grace{60'000};
  std::chrono::milliseconds call_timeout{3'000};
  std::size_t keys_max = 10'000;
};

class Authenticator {
 public:
  // Whom it knows it lets the guard count, if there is one; it must outlive this.
  Authenticator(AccountStore& accounts, AuthenticatorConfig config, Clock& clock, ApiMetrics metrics,
                Guard* guard = nullptr);

  // For a route: sets the head's principal (a Principal), or answers 401, 403, 429 or 503. Must not outlive
  // this.
  http::Authenticate require(Scope scope);

 private:
  struct Known {
    std::optional<Principal> principal;  // Empty: there is no such key.
    SteadyTime at{};
  };
  std::optional<http::Response> check(http::RequestHead& head, Scope scope);
  Result<Principal> find(const std::string& key) EXCLUDES(mutex_);

  AccountStore& accounts_;
  const AuthenticatorConfig config_;
  Clock& clock_;
  const ApiMetrics metrics_;
  Guard* const guard_;
  Mutex mutex_;
  std::unordered_map<std::string, Known> known_ GUARDED_BY(mutex_);  // By the key's hash.
};

// The key as the client sent it; empty optional: none.
std::optional<std::string> key_of(const http::Headers& headers);
// Whose request it is that the route's authenticator let through.
const TenantId& tenant_of(const http::RequestHead& head);

}  // namespace sluice::producer
