#include "common/http/service_endpoints.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/http/body_json.h"

namespace sluice::http {

namespace {

Response ready(const std::vector<ReadyCheck>& checks) {
  nlohmann::json results = nlohmann::json::object();
  bool all_well = true;
  for (const ReadyCheck& check : checks) {
    const Status status = check.check();
    nlohmann::json result = {{"ok", status.has_value()}, {"required", check.required}};
    if (!status) result["error"] = status.error().message;
    if (!status && check.required) all_well = false;
    results[check.name] = std::move(result);
  }
  return json_response(all_well ? 200 : 503,
                       {{"status", all_well ? "ready" : "not_ready"}, {"checks", std::move(results)}});
}

}  // namespace

void add_service_endpoints(Router& router, metrics::Registry& registry, std::vector<ReadyCheck> checks) {
  Route health;
  health.handler = [](Request, Responder responder) {
    responder.send(Response::json(200, R"({"status":"ok"})"));
  };
  // Not on the stage: a process whose handlers are all busy is alive nevertheless.
  health.handler_on = RunOn::kIoThread;
  router.add(Method::kGet, "/health", std::move(health));

  Route readiness;
  readiness.handler = [checks = std::make_shared<const std::vector<ReadyCheck>>(std::move(checks))](
                          Request, Responder responder) { responder.send(ready(*checks)); };
  router.add(Method::kGet, "/ready", std::move(readiness));

  Route exposition;
  exposition.handler = [&registry](Request, Responder responder) {
    Response response{.status = 200, .headers = {}, .body = registry.expose()};
    response.headers.add("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    responder.send(std::move(response));
  };
  router.add(Method::kGet, "/metrics", std::move(exposition));
}

}  // namespace sluice::http
