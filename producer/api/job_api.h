// The routes of /v1/jobs and /v1/models.
//
// Handlers run on the server's handler threads and are safe for concurrent use. Everything in JobApiParts
// must outlive the server that serves the routes.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "common/base/bounded_queue.h"
#include "common/base/clock.h"
#include "common/http/router.h"
#include "common/ids/ids.h"
#include "common/store/account_store.h"
#include "common/store/job_store.h"
#include "producer/api/authenticator.h"
#include "producer/api/job_intake.h"
#include "producer/api/models.h"
#include "producer/api/sessions.h"
#include "producer/api/submit_request.h"
#include "producer/live/estimate.h"
#include "producer/wait/job_reader.h"
#include "producer/wait/waiters.h"

namespace sluice::producer {

struct JobApiConfig {
  std::chrono::milliseconds call_timeout{5'000};
  // Answers to large batches that wait to be written out; they take no committer's time.
  std::size_t large_answers_max = 64;
};

struct JobApiParts {
  JobStore& store;
  JobReader& reader;
  Waiters& waiters;
  JobIntake& intake;
  const RequestClaims& claims;
  const Sessions& sessions;
  Authenticator& authenticator;
  const ModelCatalog& models;
  Clock& clock;
  Guard* guard = nullptr;  // None: tokens aren't limited.
  // When a job that is accepted now may start and end. Must be quick; may be empty.
  std::function<std::optional<Estimate>(const NewJob&)> estimate = {};
};

class JobApi {
 public:
  JobApi(JobApiParts parts, JobApiConfig config);
  ~JobApi();
  JobApi(const JobApi&) = delete;
  JobApi& operator=(const JobApi&) = delete;

  // The routes refer to this object.
  void add_routes(http::Router& router);
  // After the coalescer and the server: writes out what is left. May be called twice.
  void stop();

 private:
  void submit(const http::Request& request, const http::Responder& responder);
  void get_job(const http::Request& request, const http::Responder& responder);
  void list_jobs(const http::Request& request, const http::Responder& responder);
  void cancel_job(const http::Request& request, const http::Responder& responder);
  void list_models(const http::Request& request, const http::Responder& responder);
  void get_model(const http::Request& request, const http::Responder& responder);

  // The answer of the submission that made `existing`, with its jobs as they are now; those of a batch
  // without their results.
  http::Response replay(const TenantId& tenant, const IdempotencyRecord& existing);
  // The same for a turn of a session.
  http::Response replay_turn(const TenantId& tenant, const IdempotencyRecord& existing);
  http::Response render(const Result<Job>& job) const;
  void reject(const http::Responder& responder, http::Response response, std::string_view reason);
  Deadline call_deadline() const { return Deadline::in(parts_.clock, config_.call_timeout); }

  const JobApiParts parts_;
  const JobApiConfig config_;
  const std::int64_t started_s_;
  BoundedQueue<std::function<void()>> large_answers_;
  std::thread writer_;
};

}  // namespace sluice::producer
