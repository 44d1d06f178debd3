// Small makers that several tests of the callback service use.
#pragma once

#include <string>

#include "callback/store/delivery_store.h"
#include "common/crypto/crypto.h"
#include "common/ids/ids.h"
#include "common/store/account_store.h"
#include "common/store/webhook_endpoint_store.h"

namespace sluice::callback::testing {

// Every tenant's secret is the same, unless `error` is set.
class FakeAccounts final : public AccountStore {
 public:
  Result<Principal> find_key(const Secret&, Deadline) override {
    return fail(ErrorCode::kNotFound, "no keys");
  }
  Result<Secret> webhook_secret(const TenantId&, Deadline) override {
    if (error) return fail(*error);
    return Secret("whsec_" + base64_encode(std::string(32, 'k')));
  }
  Status put_tenant(const TenantId&, std::string_view, const Secret&, Deadline) override { return {}; }
  Status put_key(const TenantId&, std::string_view, const Secret&, unsigned, Deadline) override { return {}; }

  std::optional<Error> error;
};

// Every endpoint's secret is the same, and another than the tenants'.
class FakeEndpoints final : public EndpointSecrets {
 public:
  Result<std::vector<Secret>> secrets(const WebhookEndpointId&, Deadline) override {
    std::vector<Secret> one;
    one.emplace_back("whsec_" + base64_encode(std::string(32, 'e')));
    return one;
  }
};

// An undecided event, and the decision to send `body` to `url`.
struct Prepared {
  EventRecord event;
  Decision decision;
};
inline Prepared prepare(IdMaker& ids, const std::string& url, const std::string& endpoint,
                        std::string body = "{}") {
  Prepared prepared;
  prepared.event.id = ids.make<EventId>(1);
  prepared.event.job_id = ids.make<JobId>(1);
  prepared.event.tenant.value = "t";
  prepared.event.type = "job.succeeded";
  prepared.event.callback_url = url;
  prepared.decision.event_id = prepared.event.id;
  prepared.decision.body = std::move(body);
  if (!url.empty()) prepared.decision.deliveries = {{ids.make<DeliveryId>(1), {}, url, endpoint}};
  return prepared;
}

}  // namespace sluice::callback::testing
