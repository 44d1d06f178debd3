#include "producer/api/authenticator.h"

#include <utility>

#include "common/crypto/crypto.h"
#include "common/http/error_response.h"
#include "producer/api/answers.h"

namespace sluice::producer {

namespace {

constexpr std::size_t kKeyBytesMax = 512;

http::Response unauthorized(std::string_view code, std::string_view message, std::string challenge) {
  http::Response response = http::error_response(401, http::error_type::kAuthentication, code, message);
  response.headers.set("WWW-Authenticate", std::move(challenge));
  return response;
}

std::string_view scope_name(Scope scope) {
  switch (scope) {
    case kScopeSubmit:
      return "submit";
    case kScopeRead:
      return "read";
    case kScopeAdmin:
      return "admin";
  }
  return "";
}

}  // namespace

std::optional<std::string> key_of(const http::Headers& headers) {
  if (const auto authorization = headers.get("Authorization")) {
    constexpr std::string_view kScheme = "Bearer ";
    if (authorization->size() <= kScheme.size() ||
        !http::equals_ignoring_case(authorization->substr(0, kScheme.size()), kScheme)) {
      return std::nullopt;
    }
    std::string_view key = authorization->substr(kScheme.size());
    key.remove_prefix(std::min(key.find_first_not_of(' '), key.size()));
    if (key.empty()) return std::nullopt;
    return std::string(key);
  }
  const auto key = headers.get("X-API-Key");
  if (!key || key->empty()) return std::nullopt;
  return std::string(*key);
}

const TenantId& tenant_of(const http::RequestHead& head) {
  return head.principal_as<Principal>()->tenant;
}

Authenticator::Authenticator(AccountStore& accounts, AuthenticatorConfig config, Clock& clock,
                             ApiMetrics metrics, Guard* guard)
    : accounts_(accounts), config_(config), clock_(clock), metrics_(std::move(metrics)), guard_(guard) {}

http::Authenticate Authenticator::require(Scope scope) {
  return [this, scope](http::RequestHead& head) { return check(head, scope); };
}

std::optional<http::Response> Authenticator::check(http::RequestHead& head, Scope scope) {
  const auto key = key_of(head.headers);
  if (!key) {
    metrics_.key_checks.with({"missing"}).add();
    return unauthorized("missing_api_key",
                        "An API key is required: 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.",
                        "Bearer realm=\"sluice\"");
  }
  auto principal = key->size() > kKeyBytesMax
                       ? Result<Principal>(fail(ErrorCode::kNotFound, "too long to be a key"))
                       : find(*key);
  if (!principal && principal.error().code == ErrorCode::kNotFound) {
    return unauthorized("invalid_api_key", "The API key is not known.",
                        "Bearer realm=\"sluice\", error=\"invalid_token\"");
  }
  if (!principal) return store_failure(principal.error());
  if ((principal->scopes & scope) == 0) {
    const std::string name(scope_name(scope));
    return http::error_response(403, http::error_type::kPermission, "insufficient_scope",
                                "The API key lacks the scope '" + name + "'.");
  }
  if (guard_ != nullptr) {
    if (auto refusal = guard_->check(head, *principal, scope)) return refusal;
  }
  head.principal = std::move(*principal);
  return std::nullopt;
}

Result<Principal> Authenticator::find(const std::string& key) {
  const Sha256 digest = sha256(key);
  const std::string hash(digest.begin(), digest.end());
  const SteadyTime now = clock_.steady_now();
  std::optional<Principal> stale;
  {
    MutexLock lock(mutex_);
    if (const auto found = known_.find(hash); found != known_.end()) {
      const Known& known = found->second;
      if (!known.principal && now - known.at < config_.remember_unknown) {
        metrics_.key_checks.with({"refused"}).add();
        return fail(ErrorCode::kNotFound, "no such key");
      }
      if (known.principal && now - known.at < config_.remember) {
        metrics_.key_checks.with({"hit"}).add();
        return *known.principal;
      }
      if (now - known.at < config_.outage_grace) stale = known.principal;
    }
  }
  auto principal = accounts_.find_key(Secret(key), Deadline::in(clock_, config_.call_timeout));
  if (!principal && principal.error().code != ErrorCode::kNotFound) {
    metrics_.key_checks.with({stale ? "stale" : "failed"}).add();
    if (stale) return std::move(*stale);
    return principal;
  }
  metrics_.key_checks.with({principal ? "miss" : "refused"}).add();
  MutexLock lock(mutex_);
  if (known_.size() >= config_.keys_max && !known_.contains(hash)) {
    // Made-up keys must not push the good ones out; if all are good, forgetting them costs a look-up each.
    std::erase_if(known_, [&](const auto& entry) {
      return !entry.second.principal || now - entry.second.at >= config_.outage_grace;
    });
    if (known_.size() >= config_.keys_max) known_.clear();
  }
  known_[hash] = Known{principal ? std::optional(*principal) : std::nullopt, now};
  return principal;
}

}  // namespace sluice::producer
