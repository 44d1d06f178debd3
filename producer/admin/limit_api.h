// The routes of /v1/admin/limits.
//
// Handlers run on the server's handler threads and are safe for concurrent use. Everything in LimitApiParts
// must outlive the server that serves the routes.
#pragma once

#include <chrono>
#include <functional>

#include "common/http/router.h"
#include "common/store/limit_store.h"
#include "producer/api/authenticator.h"

namespace sluice::producer {

struct LimitApiParts {
  LimitStore& limits;
  Authenticator& authenticator;
  Clock& clock;
  std::function<void()> on_changed;  // This producer can know at once.
};

class LimitApi {
 public:
  LimitApi(LimitApiParts parts, std::chrono::milliseconds call_timeout)
      : parts_(std::move(parts)), call_timeout_(call_timeout) {}
  LimitApi(const LimitApi&) = delete;
  LimitApi& operator=(const LimitApi&) = delete;

  // The routes refer to this object.
  void add_routes(http::Router& router);

 private:
  http::Response list(const http::Request& request);
  http::Response set(const http::Request& request);
  http::Response unset(const http::Request& request);
  Deadline call_deadline() const { return Deadline::in(parts_.clock, call_timeout_); }

  const LimitApiParts parts_;
  const std::chrono::milliseconds call_timeout_;
};

}  // namespace sluice::producer
