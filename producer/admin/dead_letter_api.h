// The routes of /v1/admin/dead_letters, /v1/admin/operations and /v1/admin/audit.
//
// Handlers run on the server's handler threads and are safe for concurrent use. Everything in
// DeadLetterApiParts must outlive the server that serves the routes.
#pragma once

#include <chrono>
#include <functional>

#include "common/http/router.h"
#include "common/ids/ids.h"
#include "common/store/audit_store.h"
#include "common/store/dead_letter_store.h"
#include "common/store/operation_store.h"
#include "producer/admin/admin_input.h"
#include "producer/api/authenticator.h"
#include "producer/api/models.h"

namespace sluice::producer {

struct DeadLetterApiParts {
  DeadLetterStore& letters;
  OperationStore& operations;
  AuditStore& audit;
  Authenticator& authenticator;
  const ModelCatalog& models;
  IdMaker& ids;
  Clock& clock;
  OperationRules rules;
  std::function<void()> on_operation;  // There is a step to make.
  std::function<void()> on_queued;     // There is a job to publish.
};

class DeadLetterApi {
 public:
  DeadLetterApi(DeadLetterApiParts parts, std::chrono::milliseconds call_timeout)
      : parts_(std::move(parts)), call_timeout_(call_timeout) {}
  DeadLetterApi(const DeadLetterApi&) = delete;
  DeadLetterApi& operator=(const DeadLetterApi&) = delete;

  // The routes refer to this object.
  void add_routes(http::Router& router);

 private:
  http::Response list(const http::Request& request);
  http::Response groups(const http::Request& request);
  http::Response export_letters(const http::Request& request);
  http::Response show(const http::Request& request);
  http::Response replay(const http::Request& request);
  http::Response redrive(const http::Request& request) { return operate(request, OperationKind::kRedrive); }
  http::Response discard(const http::Request& request) { return operate(request, OperationKind::kDiscard); }
  http::Response list_operations(const http::Request& request);
  http::Response get_operation(const http::Request& request);
  http::Response continue_operation(const http::Request& request);
  http::Response cancel_operation(const http::Request& request);
  http::Response list_audit(const http::Request& request);

  http::Response operate(const http::Request& request, OperationKind kind);
  http::Response dry_run(const LettersAsked& asked, const DeadLetterCount& count);
  // An answer if some of the ids name no letter that could be moved.
  std::optional<http::Response> check_ids(const NewOperation& asked);
  // What became of a redrive's jobs so far; empty for a discard, and if it can't be told just now.
  std::optional<OperationOutcome> outcome_of(const Operation& operation);
  Deadline call_deadline() const { return Deadline::in(parts_.clock, call_timeout_); }

  const DeadLetterApiParts parts_;
  const std::chrono::milliseconds call_timeout_;
};

}  // namespace sluice::producer
