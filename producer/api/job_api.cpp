#include "producer/api/job_api.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "common/http/body_json.h"
#include "common/http/error_response.h"
#include "producer/api/answers.h"
#include "producer/api/query.h"
#include "producer/api/submit_request.h"

namespace sluice::producer {

namespace {

constexpr std::size_t kLargeJobs = 64;
constexpr std::size_t kCancelBodyMax = 4096;    // Nothing in it counts; clients send "{}".
constexpr std::chrono::minutes kWriterWait{1};  // It is woken; this only bounds the wait.

std::optional<JobId> job_id_of(const http::Request& request) {
  const std::string_view id = request.path_param("id");
  if (!is_well_formed_id(id, JobIdTag::kPrefix)) return std::nullopt;
  return JobId{std::string(id)};
}

// OpenAI's model object; `created` is when this producer began to take jobs for it.
nlohmann::json model_json(const ServedModel& model, std::int64_t created) {
  return {{"id", model.name()},
          {"object", "model"},
          {"created", created},
          {"owned_by", "sluice"},
          {"context_length", model.context_tokens()}};
}

}  // namespace

JobApi::JobApi(JobApiParts parts, JobApiConfig config)
    : parts_(parts),
      config_(config),
      started_s_(unix_seconds(parts.clock.wall_now())),
      large_answers_(config.large_answers_max),
      writer_([this] {
        for (;;) {
          const auto work = large_answers_.pop_many(parts_.clock, 1, parts_.clock.steady_now() + kWriterWait);
          if (!work.empty()) {
            work.front()();
          } else if (large_answers_.closed()) {
            return;
          }
        }
      }) {}

JobApi::~JobApi() {
  stop();
}

void JobApi::stop() {
  large_answers_.close();
  if (writer_.joinable()) writer_.join();
}

void JobApi::add_routes(http::Router& router) {
  const auto call = [this](void (JobApi::*handler)(const http::Request&, const http::Responder&)) {
    return [this, handler](http::Request request, http::Responder responder) {
      (this->*handler)(request, responder);
    };
  };
  const auto route = [&](Scope scope, std::size_t body_max, auto handler) {
    http::Route made;
    made.body_max = body_max;
    made.authenticate = parts_.authenticator.require(scope);
    made.handler = call(handler);
    return made;
  };
  using http::Method;
  router.add(Method::kPost, "/v1/jobs", route(kScopeSubmit, kSubmitBodyBytesMax, &JobApi::submit));
  router.add(Method::kGet, "/v1/jobs", route(kScopeRead, 0, &JobApi::list_jobs));
  router.add(Method::kGet, "/v1/jobs/{id}", route(kScopeRead, 0, &JobApi::get_job));
  router.add(Method::kPost, "/v1/jobs/{id}/cancel", route(kScopeSubmit, kCancelBodyMax, &JobApi::cancel_job));
  router.add(Method::kGet, "/v1/models", route(kScopeRead, 0, &JobApi::list_models));
  router.add(Method::kGet, "/v1/models/{model}", route(kScopeRead, 0, &JobApi::get_model));
}

void JobApi::reject(const http::Responder& responder, http::Response response, std::string_view reason) {
  parts_.intake.count_refused(reason);
  responder.send(std::move(response));
}

http::Response JobApi::render(const Result<Job>& job) const {
  return job ? job_answer(*job) : store_failure(job.error());
}

void JobApi::submit(const http::Request& request, const http::Responder& responder) {
  if (const auto none = read_no_query(request); !none) {
    return reject(responder, bad_query(none.error()), "invalid_request");
  }
  auto parsed = parse_submit(request.body, parts_.models);
  if (!parsed) {
    const SubmitRefusal& refusal = parsed.error();
    return reject(responder, refusal_answer(refusal), refusal.code);
  }
  const TenantId& tenant = tenant_of(request);
  const bool is_turn = !parsed->is_batch && !parsed->jobs.front().session_id.empty();
  std::optional<IdempotencyClaim> claim;
  const auto look = [&] {
    const auto body = http::parse_json(request.body);
    return parts_.claims.look(request, tenant, "/v1/jobs", body.value_or(nullptr), claims_of_turn(is_turn),
                              call_deadline());
  };
  if (may_be_repeated(request)) {
    auto looked = look();
    if (!looked) {
      responder.send(std::move(looked.error()));
      return;
    }
    if (looked->existing) {
      responder.send(is_turn ? replay_turn(tenant, *looked->existing) : replay(tenant, *looked->existing));
      return;
    }
    claim = std::move(looked->claim);
  }
  std::optional<SessionTurn> session;
  if (is_turn) {
    auto turn = parts_.sessions.continue_with(tenant, parsed->jobs.front(), call_deadline());
    if (!turn) {
      // The turn that it meets may be what this very request made meanwhile.
      const auto looked = claim ? look() : RequestClaims::Looked{};
      if (!looked || !looked->existing) {
        return reject(responder, std::move(turn.error().answer), turn.error().code);
      }
      responder.send(replay_turn(tenant, *looked->existing));
      return;
    }
    session = std::move(*turn);
  }
  if (parts_.guard != nullptr) {
    std::int64_t tokens = 0;
    for (const JobSpec& spec : parsed->jobs) tokens += spec.tokens_max;
    const Principal& principal = *request.principal_as<Principal>();
    auto refusal = parts_.guard->check_tokens(request, principal, kScopeSubmit, tokens);
    if (refusal) return reject(responder, std::move(*refusal), "rate_limit_exceeded");
  }
  Submission submission = parts_.intake.make(tenant, std::move(parsed->jobs), parsed->is_batch);
  submission.claim = std::move(claim);
  submission.session = std::move(session);
  auto refused = parts_.intake.submit(
      std::move(submission),
      [this, tenant, is_turn, responder](JobIntake::Outcome outcome) {
        if (!outcome) {
          const auto& existing = outcome.error().existing;
          if (!existing) {
            responder.send(std::move(outcome.error().answer));
            return;
          }
          // Reads jobs: not for this thread, on which others' jobs wait to be committed.
          responder.run_on_stage([this, tenant, is_turn, made = *existing, responder] {
            responder.send(is_turn ? replay_turn(tenant, made) : replay(tenant, made));
          });
          return;
        }
        if (outcome->jobs.size() < kLargeJobs) {
          // Asked after the commit: it counts with the others then, and costs the database nothing.
          const bool single = !outcome->batch && parts_.estimate;
          http::Response answer =
              accepted_answer(*outcome, single ? parts_.estimate(outcome->jobs.front()) : std::nullopt);
          if (outcome->session) answer.headers.set(kSessionHeader, session_header(*outcome->session));
          responder.send(std::move(answer));
          return;
        }
        // Only copyable functions fit into a queue.
        auto large = std::make_shared<Submission>(std::move(*outcome));
        std::function<void()> work = [large, responder] { responder.send(accepted_answer(*large)); };
        if (!large_answers_.push(std::move(work))) responder.send(accepted_answer(*large));
      },
      [responder] { return responder.gone(); });
  if (refused) responder.send(std::move(*refused));
}

http::Response JobApi::replay_turn(const TenantId& tenant, const IdempotencyRecord& existing) {
  http::Response answer = replay(tenant, existing);
  const std::string header = parts_.sessions.header_of(tenant, JobId{existing.resource_id}, call_deadline());
  if (!header.empty()) answer.headers.set(kSessionHeader, header);
  return answer;
}

http::Response JobApi::replay(const TenantId& tenant, const IdempotencyRecord& existing) {
  Submission made;
  if (!is_well_formed_id(existing.resource_id, BatchIdTag::kPrefix)) {
    auto job = parts_.reader.get(tenant, JobId{existing.resource_id}, call_deadline());
    if (!job) return store_failure(job.error());
    made.jobs.resize(1);
    made.jobs.front().job = std::move(*job);
    return accepted_answer(made);
  }
  JobFilter filter;
  filter.tenant = tenant;
  filter.batch_id.value = existing.resource_id;
  filter.limit = static_cast<int>(kSubmitRequestsMax);
  filter.with_results = false;  // All in one answer: they may be gigabytes.
  auto jobs = parts_.store.list(filter, call_deadline());
  if (!jobs) return store_failure(jobs.error());
  made.batch = NewBatch{filter.batch_id, static_cast<int>(jobs->size())};
  made.jobs.resize(jobs->size());
  // Lists run from new to old, requests the other way.
  for (std::size_t i = 0; i < jobs->size(); ++i) made.jobs[jobs->size() - 1 - i].job = std::move((*jobs)[i]);
  return accepted_answer(made);
}

void JobApi::get_job(const http::Request& request, const http::Responder& responder) {
  const auto wait = read_wait(request);
  if (!wait) {
    responder.send(bad_query(wait.error()));
    return;
  }
  const auto id = job_id_of(request);
  if (!id) {
    responder.send(no_such_job());
    return;
  }
  const TenantId& tenant = tenant_of(request);
  // Register first, then read: an end between the two is then seen by one of them.
  std::optional<Waiters::Ticket> ticket;
  if (wait->count() > 0) {
    ticket = parts_.waiters.add(tenant, *id, parts_.clock.steady_now() + *wait,
                                [this, responder](const Result<Job>& job) { responder.send(render(job)); });
  }
  const Result<Job> job = parts_.reader.get(tenant, *id, call_deadline());
  if (ticket && job && !is_final(job->state)) {
    // Whoever only ended its side of the connection still reads: it gets the job as it was.
    responder.on_disconnect([this, ticket = *ticket, job = *job, responder] {
      if (parts_.waiters.remove(ticket, "left")) responder.send(render(job));
    });
    return;
  }
  if (!ticket || parts_.waiters.remove(*ticket, "read")) responder.send(render(job));
}

void JobApi::list_jobs(const http::Request& request, const http::Responder& responder) {
  auto filter = read_list_query(request);
  if (!filter) {
    responder.send(bad_query(filter.error()));
    return;
  }
  filter->tenant = tenant_of(request);
  const int limit = filter->limit;
  filter->limit = limit + 1;  // One more tells whether there are more.
  const auto jobs = parts_.store.list(*filter, call_deadline());
  responder.send(jobs ? list_answer(*jobs, limit) : store_failure(jobs.error()));
}

void JobApi::cancel_job(const http::Request& request, const http::Responder& responder) {
  if (const auto none = read_no_query(request); !none) {
    responder.send(bad_query(none.error()));
    return;
  }
  const auto id = job_id_of(request);
  const auto job = id ? parts_.store.cancel(tenant_of(request), *id, call_deadline())
                      : Result<Job>(fail(ErrorCode::kNotFound, "not an id"));
  if (job) parts_.waiters.notify(*id);
  responder.send(render(job));
}

void JobApi::list_models(const http::Request& request, const http::Responder& responder) {
  if (const auto none = read_no_query(request); !none) {
    responder.send(bad_query(none.error()));
    return;
  }
  nlohmann::json data = nlohmann::json::array();
  for (const auto& model : parts_.models.all()) data.push_back(model_json(*model, started_s_));
  responder.send(http::json_response(200, {{"object", "list"}, {"data", std::move(data)}}));
}

void JobApi::get_model(const http::Request& request, const http::Responder& responder) {
  const ServedModel* model = parts_.models.find(request.path_param("model"));
  if (model == nullptr) {
    responder.send(http::error_response(404, http::error_type::kNotFound, "model_not_found",
                                        "There is no such model.", "model"));
    return;
  }
  responder.send(http::json_response(200, model_json(*model, started_s_)));
}

}  // namespace sluice::producer
