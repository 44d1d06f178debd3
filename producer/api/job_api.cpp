#include "producer/api/job_api.h"

#include <array>
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
constexpr std::size_t kCancelBodyMax = 4096;  // Nothing in it counts; clients send "{}".
constexpr int kBusyRetryS = 1;
constexpr std::chrono::minutes kWriterWait{1};  // It is woken; this only bounds the wait.

const Principal& principal_of(const http::Request& request) {
  return *request.principal_as<Principal>();  // The route's authenticator has put it there.
}

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

JobApi::JobApi(JobApiParts parts, JobApiConfig config, ApiMetrics metrics)
    : parts_(parts),
      config_(config),
      metrics_(std::move(metrics)),
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
  metrics_.rejected.with({reason}).add();
  responder.send(std::move(response));
}

http::Response JobApi::render(const Result<Job>& job) const {
  return job ? job_answer(*job) : store_failure(job.error());
}

Submission JobApi::make_submission(const TenantId& tenant, ParsedSubmit parsed) {
  const int shard = shard_of_tenant(tenant);
  Submission submission;
  if (parsed.is_batch) {
    submission.batch = NewBatch{parts_.ids.make<BatchId>(shard), static_cast<int>(parsed.jobs.size())};
  }
  submission.jobs.reserve(parsed.jobs.size());
  for (JobSpec& spec : parsed.jobs) {
    NewJob fresh;
    fresh.job.id = parts_.ids.make<JobId>(shard);
    fresh.job.tenant = tenant;
    if (submission.batch) fresh.job.batch_id = submission.batch->id;
    fresh.job.model = spec.model->name();
    fresh.job.priority = spec.priority;
    fresh.job.surface = spec.surface;
    fresh.job.metadata_json = std::move(spec.metadata_json);
    fresh.job.callback_url = std::move(spec.callback_url);
    fresh.request_json = job_request_to_json(spec.request);
    fresh.prompt_tokens = spec.prompt_tokens;
    fresh.tokens_max = spec.tokens_max;
    fresh.expires_in_s = spec.expires_in_s;
    submission.jobs.push_back(std::move(fresh));
  }
  return submission;
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
  if (parts_.guard != nullptr) {
    std::int64_t tokens = 0;
    for (const JobSpec& spec : parsed->jobs) tokens += spec.tokens_max;
    auto refusal = parts_.guard->check_tokens(request, principal_of(request), kScopeSubmit, tokens);
    if (refusal) return reject(responder, std::move(*refusal), "rate_limit_exceeded");
  }
  Submission submission = make_submission(principal_of(request).tenant, std::move(*parsed));
  if (const auto admitted = parts_.admission.admit(submission.jobs); !admitted) {
    const Admission::Refused& full = admitted.error();
    return reject(responder, http::busy_response(full.status, full.code, full.message, full.retry_after_s),
                  full.code);
  }
  const bool taken = parts_.coalescer.submit(
      std::move(submission),
      [this, responder](Status status, Submission&& done) {
        if (!status || done.jobs.size() < kLargeJobs) {
          answer_submit(status, std::move(done), responder);
          return;
        }
        // Only copyable functions fit into a queue.
        auto large = std::make_shared<Submission>(std::move(done));
        std::function<void()> work = [this, large, responder] {
          answer_submit({}, std::move(*large), responder);
        };
        if (!large_answers_.push(std::move(work))) answer_submit({}, std::move(*large), responder);
      },
      [responder] { return responder.gone(); });
  if (!taken) {
    reject(responder,
           http::busy_response(503, "overloaded", "Too many submissions wait to be written.", kBusyRetryS),
           "overloaded");
  }
}

void JobApi::answer_submit(const Status& status, Submission submission, const http::Responder& responder) {
  if (!status) {
    return reject(responder, submit_failure(status.error(), submission),
                  error_code_name(status.error().code));
  }
  std::array<int, kPriorities> accepted{};
  for (const NewJob& fresh : submission.jobs) ++accepted[static_cast<std::size_t>(fresh.job.priority)];
  for (int p = 0; p < kPriorities; ++p) {
    const int count = accepted[static_cast<std::size_t>(p)];
    if (count > 0) metrics_.accepted.with({priority_name(static_cast<Priority>(p))}).add(count);
  }
  log_accepted(submission);
  // Asked after the commit: it counts with the others then, and costs the database nothing.
  const bool single = !submission.batch && parts_.estimate;
  responder.send(
      accepted_answer(submission, single ? parts_.estimate(submission.jobs.front()) : std::nullopt));
}

// A batch takes one line, whose id the lines about its jobs repeat.
void JobApi::log_accepted(const Submission& submission) const {
  const Job& first = submission.jobs.front().job;
  if (submission.batch) {
    parts_.log.info("batch_accepted", {{"batch_id", submission.batch->id.value},
                                       {"tenant", first.tenant.value},
                                       {"jobs", submission.jobs.size()}});
  } else {
    parts_.log.info("job_accepted", {{"job_id", first.id.value},
                                     {"tenant", first.tenant.value},
                                     {"model", first.model},
                                     {"priority", priority_name(first.priority)}});
  }
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
  const TenantId& tenant = principal_of(request).tenant;
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
  filter->tenant = principal_of(request).tenant;
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
  const auto job = id ? parts_.store.cancel(principal_of(request).tenant, *id, call_deadline())
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
