// The routes of /v1/admin/status, queues, workers, jobs, pauses and keys.
//
// Handlers run on the server's handler threads and are safe for concurrent use. Everything in FleetApiParts
// must outlive the server that serves the routes.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "common/base/rng.h"
#include "common/http/router.h"
#include "common/store/fleet_store.h"
#include "common/store/job_store.h"
#include "common/store/key_store.h"
#include "producer/api/authenticator.h"
#include "producer/api/models.h"
#include "producer/dispatch/broker.h"

namespace sluice::producer {

struct FleetApiParts {
  FleetStore& fleet;
  JobStore& jobs;
  KeyStore& keys;
  Broker& broker;
  Authenticator& authenticator;
  const ModelCatalog& models;
  Clock& clock;
  Rng& rng;
  std::string region;
  std::function<void()> on_resumed;  // Held-back jobs may be published.
};

class FleetApi {
 public:
  FleetApi(FleetApiParts parts, std::chrono::milliseconds call_timeout)
      : parts_(std::move(parts)), call_timeout_(call_timeout) {}
  FleetApi(const FleetApi&) = delete;
  FleetApi& operator=(const FleetApi&) = delete;

  // The routes refer to this object.
  void add_routes(http::Router& router);

 private:
  http::Response status(const http::Request& request);
  http::Response queues(const http::Request& request);
  http::Response workers(const http::Request& request);
  http::Response drain(const http::Request& request) { return set_draining(request, true); }
  http::Response undrain(const http::Request& request) { return set_draining(request, false); }
  http::Response list_jobs(const http::Request& request);
  http::Response get_job(const http::Request& request);
  http::Response cancel_job(const http::Request& request);
  http::Response list_pauses(const http::Request& request);
  http::Response set_pause(const http::Request& request);
  http::Response end_pause(const http::Request& request);
  http::Response list_keys(const http::Request& request);
  http::Response create_key(const http::Request& request);
  http::Response revoke_key(const http::Request& request);

  http::Response set_draining(const http::Request& request, bool draining);
  Deadline call_deadline() const { return Deadline::in(parts_.clock, call_timeout_); }

  const FleetApiParts parts_;
  const std::chrono::milliseconds call_timeout_;
};

}  // namespace sluice::producer
