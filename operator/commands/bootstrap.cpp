// First set-up of an installation: a tenant, its API key, an admin key, its webhook secret. Idempotent.
#include <cstdio>

#include "common/crypto/crypto.h"
#include "common/crypto/webhook_key.h"
#include "common/log/log.h"
#include "common/store/mysql_account_store.h"
#include "operator/commands/command.h"

namespace sluice::operate {

namespace {

constexpr std::size_t kKeyBytesMin = 20;

Status check_key(const Secret& key, const char* name) {
  if (key.reveal().size() < kKeyBytesMin) {
    return fail(ErrorCode::kInvalid, std::string(name) + " is missing or shorter than 20 characters");
  }
  return {};
}

Status check_webhook_secret(const Secret& secret) {
  const auto key = parse_webhook_secret(secret);
  if (!key || key->signing != WebhookSigning::kHmac || key->bytes.reveal().size() < kSecretBytesMin) {
    return fail(ErrorCode::kInvalid, "SLUICE_WEBHOOK_SECRET must be whsec_ and base64 of 24 to 64 bytes");
  }
  return {};
}

}  // namespace

Status bootstrap(Context& context, const std::vector<std::string>& words) {
  if (!words.empty()) return fail(ErrorCode::kInvalid, "bootstrap takes no words");
  const Settings& settings = context.settings;
  SLUICE_TRY(check_key(settings.api_key, "SLUICE_API_KEY"));
  SLUICE_TRY(check_key(settings.admin_key, "SLUICE_ADMIN_KEY"));
  SLUICE_TRY(check_webhook_secret(settings.webhook_secret));
  SLUICE_ASSIGN(Sealer sealer, Sealer::make(settings.master_key));
  const Log log("sluicectl", LogLevel::kError, context.clock);
  MysqlPool pool(settings.mysql, context.clock, context.rng, log);
  MysqlAccountStore accounts(pool, context.rng, std::move(sealer));
  const TenantId tenant{settings.tenant};
  // The keys first: another tenant's are refused before anything is made.
  SLUICE_TRY(
      accounts.put_key(tenant, "bootstrap", settings.api_key, kScopeSubmit | kScopeRead, context.deadline()));
  SLUICE_TRY(accounts.put_key(tenant, "bootstrap-admin", settings.admin_key,
                              kScopeSubmit | kScopeRead | kScopeAdmin, context.deadline()));
  SLUICE_TRY(accounts.put_tenant(tenant, settings.tenant, settings.webhook_secret, context.deadline()));
  std::printf("tenant %s is set up\n", settings.tenant.c_str());
  return {};
}

}  // namespace sluice::operate
