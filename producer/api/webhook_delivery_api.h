// The routes of /v1/webhook_deliveries: a tenant's deliveries, their attempts, and sending them again.
//
// Handlers run on the server's handler threads and are safe for concurrent use. Everything in
// WebhookDeliveryApiParts must outlive the server that serves the routes.
#pragma once

#include <chrono>

#include "common/base/clock.h"
#include "common/http/router.h"
#include "common/store/webhook_delivery_log.h"
#include "common/store/webhook_endpoint_store.h"
#include "producer/api/authenticator.h"

namespace sluice::producer {

struct WebhookDeliveryApiParts {
  WebhookEndpointStore& endpoints;
  WebhookDeliveryLog& deliveries;
  Authenticator& authenticator;
  Clock& clock;
};

class WebhookDeliveryApi {
 public:
  explicit WebhookDeliveryApi(WebhookDeliveryApiParts parts) : parts_(parts) {}
  WebhookDeliveryApi(const WebhookDeliveryApi&) = delete;
  WebhookDeliveryApi& operator=(const WebhookDeliveryApi&) = delete;

  // The routes refer to this object.
  void add_routes(http::Router& router);

 private:
  static constexpr std::chrono::milliseconds kCallTimeout{5'000};
  static constexpr std::chrono::milliseconds kReplayTimeout{30'000};  // Of the route that replays many.

  http::Response list(const http::Request& request);
  http::Response get(const http::Request& request);
  http::Response attempts(const http::Request& request);
  http::Response replay(const http::Request& request);
  http::Response replay_many(const http::Request& request);

  Deadline call_deadline() const { return Deadline::in(parts_.clock, kCallTimeout); }

  const WebhookDeliveryApiParts parts_;
};

}  // namespace sluice::producer
