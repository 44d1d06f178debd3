// The routes of /v1/batches.
//
// Handlers run on the server's handler threads and are safe for concurrent use. Everything in BatchApiParts
// must outlive the server that serves the routes.
#pragma once

#include <chrono>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <tl/expected.hpp>

#include "common/base/clock.h"
#include "common/http/router.h"
#include "common/ids/ids.h"
#include "common/log/log.h"
#include "common/store/batch_store.h"
#include "common/store/file_store.h"
#include "producer/api/authenticator.h"
#include "producer/api/models.h"
#include "producer/api/request_claims.h"
#include "producer/batches/dry_run.h"

namespace sluice::producer {

struct BatchApiConfig {
  std::chrono::milliseconds call_timeout{5'000};
  std::size_t answer_bytes_max =
      4'000'000;  // Of lines that are read while a batch runs; one line may be more.
  DryRunConfig dry_runs;
};

struct BatchApiParts {
  BatchStore& batches;
  FileStore& files;
  Authenticator& authenticator;
  const RequestClaims& claims;
  const ModelCatalog& models;
  IdMaker& ids;
  Clock& clock;
  Log log;
  std::function<void()> on_work;      // A batch wants something done: its loop may look.
  std::function<void()> on_runnable;  // Jobs may be published that were not before.
  EstimateBatch estimate;
};

class BatchApi {
 public:
  BatchApi(BatchApiParts parts, BatchApiConfig config);
  BatchApi(const BatchApi&) = delete;
  BatchApi& operator=(const BatchApi&) = delete;

  // The routes refer to this object.
  void add_routes(http::Router& router);
  // Before the server, which waits for its open answers: dry runs end with one that says so. May be called
  // twice.
  void stop() { dry_runs_.stop(); }

 private:
  void create(const http::Request& request, const http::Responder& responder);
  http::Response list(const http::Request& request);
  http::Response get(const http::Request& request);
  http::Response cancel(const http::Request& request);
  http::Response pause(const http::Request& request);
  http::Response resume(const http::Request& request);
  http::Response retry(const http::Request& request);
  http::Response output(const http::Request& request);
  http::Response errors(const http::Request& request);

  http::Response set_paused(const http::Request& request, bool paused);
  http::Response lines(const http::Request& request, LineKind kind);
  // Whether the request was sent before.
  tl::expected<RequestClaims::Looked, http::Response> look(const http::Request& request,
                                                           const TenantId& tenant,
                                                           const nlohmann::json& body);
  // `body`, parsed, counts with a claim only.
  http::Response start(const http::Request& request, const nlohmann::json& body, NewFileBatch batch,
                       const std::optional<IdempotencyClaim>& claim);
  // What the request made when it was sent before.
  http::Response made_before(const TenantId& tenant, const IdempotencyRecord& record);
  Deadline call_deadline() const { return Deadline::in(parts_.clock, config_.call_timeout); }

  const BatchApiParts parts_;
  const BatchApiConfig config_;
  DryRuns dry_runs_;
};

}  // namespace sluice::producer
