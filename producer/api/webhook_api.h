// The routes of /v1/webhook_endpoints.
//
// Handlers run on the server's handler threads and are safe for concurrent use. Everything in WebhookApiParts
// must outlive the server that serves the routes.
#pragma once

#include <chrono>

#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/http/router.h"
#include "common/ids/ids.h"
#include "common/store/webhook_delivery_log.h"
#include "common/store/webhook_endpoint_store.h"
#include "producer/api/authenticator.h"

namespace sluice::producer {

struct WebhookApiConfig {
  std::chrono::milliseconds call_timeout{5'000};
  std::chrono::seconds secret_overlap{24 * 3600};  // How long an old secret still signs after a rotation.
};

struct WebhookApiParts {
  WebhookEndpointStore& endpoints;
  WebhookDeliveryLog& deliveries;
  Authenticator& authenticator;
  IdMaker& ids;
  Clock& clock;
  Rng& rng;
};

class WebhookApi {
 public:
  WebhookApi(WebhookApiParts parts, WebhookApiConfig config) : parts_(parts), config_(config) {}
  WebhookApi(const WebhookApi&) = delete;
  WebhookApi& operator=(const WebhookApi&) = delete;

  // The routes refer to this object.
  void add_routes(http::Router& router);

 private:
  http::Response create(const http::Request& request);
  http::Response list(const http::Request& request);
  http::Response get(const http::Request& request);
  http::Response update(const http::Request& request);
  http::Response remove(const http::Request& request);
  http::Response rotate(const http::Request& request);
  http::Response send_test(const http::Request& request);

  Deadline call_deadline() const { return Deadline::in(parts_.clock, config_.call_timeout); }

  const WebhookApiParts parts_;
  const WebhookApiConfig config_;
};

}  // namespace sluice::producer
