// What every service answers to its operators: GET /health, /ready and /metrics. None asks for a key: bind
// them to an address that only operators reach, or keep them off the proxy.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/http/router.h"
#include "common/metrics/metrics.h"

namespace sluice::http {

// Success: fine. An error: its message says what is wrong. Must be safe for concurrent use and have a
// deadline of its own; runs on a handler thread.
struct ReadyCheck {
  std::string name;  // "mysql", "rabbitmq"
  std::function<Status()> check;
  bool required = true;  // False: shown, but the service can do its work without ("redis").
};

// /health: 200 {"status":"ok"} as long as the process serves.
// /ready: 200 or 503 with {"status", "checks": {name: {"ok", "required", "error"}}}.
// /metrics: the registry's text. `registry` must outlive the server.
void add_service_endpoints(Router& router, metrics::Registry& registry, std::vector<ReadyCheck> checks);

}  // namespace sluice::http
