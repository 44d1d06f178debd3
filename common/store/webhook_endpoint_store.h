// Webhook endpoints that tenants registered, and their secrets. Safe for concurrent use. Errors as in
// job_store.h, and kNotFound: there is no such endpoint, or it is another tenant's.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/rng.h"
#include "common/base/secret.h"
#include "common/crypto/crypto.h"
#include "common/crypto/webhook_key.h"
#include "common/ids/ids.h"
#include "common/ids/webhook_endpoint_id.h"
#include "common/mysql/mysql.h"

namespace sluice {

inline constexpr int kEndpointsMax = 50;  // Of one tenant: each costs a delivery for each of its events.

struct WebhookEndpoint {
  WebhookEndpointId id;
  TenantId tenant;
  std::string url;
  std::string description;
  std::string events;                              // Types parted by commas, or "*".
  WebhookSigning signing = WebhookSigning::kHmac;  // For good: it is chosen when the endpoint is made.
  std::string public_key;  // `whpk_…` of what signs now; empty: a shared secret does.
  bool ordered = false;    // Of one job's events a later one waits until an earlier one is over.
  bool enabled = true;
  std::string disabled_reason;  // "request", "gone" (it said 410), "failing"; empty while enabled.
  // Microseconds since 1970; 0: not.
  std::int64_t created_us = 0;
  std::int64_t disabled_us = 0;
  std::int64_t failing_since_us = 0;
  std::int64_t old_secret_until_us = 0;  // Until then the secret before signs too.
};

// What is to be changed; an empty optional leaves it as it is.
struct EndpointChanges {
  std::optional<std::string> url;
  std::optional<std::string> description;
  std::optional<std::string> events;
  std::optional<bool> ordered;
  std::optional<bool> enabled;
};

// For who only signs.
class EndpointSecrets {
 public:
  virtual ~EndpointSecrets() = default;
  // `whsec_…` or `whsk_…`, the newest first.
  virtual Result<std::vector<Secret>> secrets(const WebhookEndpointId& id, Deadline deadline) = 0;
};

class WebhookEndpointStore final : public EndpointSecrets {
 public:
  // References must outlive the store. Without a `sealer` everything that needs a secret fails with
  // kInternal.
  WebhookEndpointStore(MysqlPool& pool, IdMaker& ids, Rng& rng, std::optional<Sealer> sealer)
      : pool_(pool), ids_(ids), rng_(rng), sealer_(std::move(sealer)) {}

  bool can_seal() const { return sealer_.has_value(); }
  // kExhausted: the tenant has kEndpointsMax. kInvalid: `secret` is not of the endpoint's signing. `endpoint`
  // has id, tenant, url, description, events, signing and ordered.
  Result<WebhookEndpoint> create(const WebhookEndpoint& endpoint, const Secret& secret, Deadline deadline);
  Result<WebhookEndpoint> get(const TenantId& tenant, const WebhookEndpointId& id, Deadline deadline);
  // Newest first, after `after` if it is not empty.
  Result<std::vector<WebhookEndpoint>> list(const TenantId& tenant, const WebhookEndpointId& after, int limit,
                                            Deadline deadline);
  // Enabling, or moving it to another URL, forgets that it failed. What waits for it, or is replayed, goes to
  // the URL that it has when sent. What waits for the order is looked at again when it is enabled, and goes
  // on once order is not asked for any more; at the latest some time later, should that fail now.
  Result<WebhookEndpoint> update(const TenantId& tenant, const WebhookEndpointId& id,
                                 const EndpointChanges& changes, Deadline deadline);
  // What waits for it is not sent any more.
  Status remove(const TenantId& tenant, const WebhookEndpointId& id, Deadline deadline);
  // From here on `secret` signs, and for `overlap` the one before it, too. Nothing changes if it signs
  // already: repeat what ended as kOutcomeUnknown. kInvalid: it is not of the endpoint's signing.
  Result<WebhookEndpoint> rotate(const TenantId& tenant, const WebhookEndpointId& id, const Secret& secret,
                                 std::chrono::seconds overlap, Deadline deadline);
  // Sends it an event that says nothing. kConflict: it is disabled.
  Result<DeliveryId> send_test(const TenantId& tenant, const WebhookEndpointId& id, Deadline deadline);

  Result<std::vector<Secret>> secrets(const WebhookEndpointId& id, Deadline deadline) override;

 private:
  Result<std::string> seal(const WebhookEndpointId& id, const Secret& secret);

  MysqlPool& pool_;
  IdMaker& ids_;
  Rng& rng_;
  const std::optional<Sealer> sealer_;
};

}  // namespace sluice
