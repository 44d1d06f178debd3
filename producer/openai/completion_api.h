// The routes of /v1/chat/completions, /v1/completions and /v1/responses. Each request is a job like any
// other.
//
// Handlers run on the server's handler threads and are safe for concurrent use. Everything in the parts must
// outlive the server that serves the routes.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/http/router.h"
#include "common/store/account_store.h"
#include "common/store/job_store.h"
#include "producer/api/authenticator.h"
#include "producer/api/job_intake.h"
#include "producer/api/models.h"
#include "producer/api/sessions.h"
#include "producer/openai/answer_streams.h"
#include "producer/openai/completion_request.h"
#include "producer/openai/completion_waits.h"
#include "producer/wait/job_reader.h"
#include "producer/wait/left_jobs.h"
#include "producer/wait/waiters.h"

namespace sluice::producer {

struct CompletionApiParts {
  JobStore& store;
  JobReader& reader;
  Waiters& waiters;
  CompletionWaits& waits;
  AnswerStreams& streams;
  JobIntake& intake;
  const RequestClaims& claims;
  const Sessions& sessions;
  LeftJobs& left_jobs;
  HotJobs& hot;
  Authenticator& authenticator;
  const ModelCatalog& models;
  Clock& clock;
  Rng& rng;
  Guard* guard = nullptr;  // None: tokens aren't limited.
};

class CompletionApi {
 public:
  CompletionApi(CompletionApiParts parts, std::chrono::milliseconds call_timeout)
      : parts_(parts), call_timeout_(call_timeout) {}

  // The routes refer to this object.
  void add_routes(http::Router& router);

 private:
  void create(Surface surface, const http::Request& request, const http::Responder& responder);
  // The client's share of tokens is used up: it was told so.
  bool over_limit(const http::Request& request, const JobSpec& spec, const http::Responder& responder);
  // What a request that was read comes to: a job of its own, or the one that it made before.
  struct Asked {
    Surface surface = Surface::kChat;
    TenantId tenant;
    std::shared_ptr<const JobRequest> request;
    bool respond_async = false;  // 202 with the job at once.
    bool background = false;     // The response object at once.
    bool stream = false;
    bool include_usage = false;
    bool cancel_on_disconnect = false;
    std::string session;  // of_session()
  };
  void submit(Asked asked, JobSpec spec, std::optional<IdempotencyClaim> claim,
              std::optional<SessionTurn> session, const http::Responder& responder);
  CompletionWaits::WaitPtr add_wait(const Asked& asked, const JobId& id, const http::Responder& responder,
                                    std::function<void()> on_left);
  // What is to be done when the client leaves a job that is there; may be empty.
  std::function<void()> when_left(const Asked& asked, const JobId& id);
  // Answers with a job that is there already.
  void attach(const Asked& asked, const JobId& id, const http::Responder& responder);
  // `cache` as for AnswerStreams.
  void open_stream(const Asked& asked, const Job& job, const http::Responder& responder,
                   std::string_view cache = {});
  static http::Response at_once(const Asked& asked, const Job& job);
  void retrieve(Surface surface, const http::Request& request, const http::Responder& responder);
  void cancel_response(const http::Request& request, const http::Responder& responder);
  void delete_response(const http::Request& request, const http::Responder& responder);
  // The response that the path names, deleted or not. kNotFound also for another surface's job.
  Result<Job> named_response(const http::Request& request);
  // The answer of GET, from the job as it is.
  http::Response render(Surface surface, const Result<Job>& job);
  Result<JobRequest> request_of(const Job& job);
  // The messages of a response and its answer, for the one that goes on from there.
  Result<std::vector<RequestMessage>> conversation_of(const TenantId& tenant, const JobId& id);
  Deadline call_deadline() const { return Deadline::in(parts_.clock, call_timeout_); }

  const CompletionApiParts parts_;
  const std::chrono::milliseconds call_timeout_;
};

}  // namespace sluice::producer
