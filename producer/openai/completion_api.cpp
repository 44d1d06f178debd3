#include "producer/openai/completion_api.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "common/http/body_json.h"
#include "common/http/error_response.h"
#include "common/openai/ids.h"
#include "producer/api/answers.h"
#include "producer/api/query.h"
#include "producer/cache/answer_cache.h"
#include "producer/openai/completion_answers.h"

namespace sluice::producer {

namespace {

constexpr std::size_t kCancelBodyMax = 4096;  // Nothing in it counts; clients send "{}".
constexpr int kBusyRetryS = 1;

std::optional<JobId> id_of(Surface surface, const http::Request& request) {
  return openai::job_id_from(surface, request.path_param("id"));
}

http::Response response_of_batch() {
  return http::error_response(409, http::error_type::kConflict, "response_of_batch",
                              "The response is a line of a batch, whose files need it.", "id");
}

http::Response too_many_wait() {
  return http::busy_response(503, "overloaded", "Too many requests wait for their jobs.", kBusyRetryS);
}

// The number of the last event that the client has; -1: none.
tl::expected<std::int64_t, BadQuery> read_starting_after(const http::RequestHead& head) {
  const auto given = head.query_value("starting_after");
  if (!given) return -1;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(given->data(), given->data() + given->size(), number);
  if (error != std::errc() || end != given->data() + given->size() || number < 0) {
    return tl::unexpected(BadQuery{"starting_after", "must be a whole number from 0"});
  }
  return number;
}

SubmitRefusal refusal(std::string code, std::string message, std::string param = {}) {
  SubmitRefusal refusal;
  refusal.code = std::move(code);
  refusal.message = std::move(message);
  refusal.param = std::move(param);
  return refusal;
}

}  // namespace

void CompletionApi::add_routes(http::Router& router) {
  using http::Method;
  const auto add = [&](Method method, std::string pattern, Scope scope, std::size_t body_max, auto handler) {
    http::Route route;
    route.body_max = body_max;
    route.authenticate = parts_.authenticator.require(scope);
    route.handler = handler;
    router.add(method, std::move(pattern), std::move(route));
  };
  for (const Surface surface : {Surface::kChat, Surface::kCompletion, Surface::kResponse}) {
    const std::string route(surface_route(surface));
    add(Method::kPost, route, kScopeSubmit, kSubmitBodyBytesMax,
        [this, surface](const http::Request& request, const http::Responder& responder) {
          create(surface, request, responder);
        });
    add(Method::kGet, route + "/{id}", kScopeRead, 0,
        [this, surface](const http::Request& request, const http::Responder& responder) {
          retrieve(surface, request, responder);
        });
  }
  add(Method::kPost, "/v1/responses/{id}/cancel", kScopeSubmit, kCancelBodyMax,
      [this](const http::Request& request, const http::Responder& responder) {
        cancel_response(request, responder);
      });
  add(Method::kDelete, "/v1/responses/{id}", kScopeSubmit, 0,
      [this](const http::Request& request, const http::Responder& responder) {
        delete_response(request, responder);
      });
}

void CompletionApi::create(Surface surface, const http::Request& request, const http::Responder& responder) {
  const auto refuse = [&](const SubmitRefusal& why) {
    parts_.intake.count_refused(why.code);
    responder.send(completion_refusal(why));
  };
  const auto body = http::parse_json(request.body);
  if (!body) return refuse(refusal("invalid_json", body.error().message));
  const TenantId& tenant = tenant_of(request);
  auto parsed = parse_completion(surface, *body, parts_.models,
                                 [&](const JobId& id) { return conversation_of(tenant, id); });
  if (!parsed) return refuse(parsed.error());
  if (parsed->cancel_on_disconnect && prefers_async(request)) {
    return refuse(refusal("invalid_value", "cancel_on_disconnect can't be true with Prefer: respond-async.",
                          "cancel_on_disconnect"));
  }
  JobParameters& parameters = parsed->spec.request.parameters;
  parameters.stream = parsed->stream;
  if (parsed->stream && !parameters.seed) {
    // Should a worker be lost on the way, the next one says the same and the stream goes on.
    parameters.seed = static_cast<std::int64_t>(parts_.rng.next() >> 1);
    parsed->spec.seed_is_ours = true;
  }
  const bool is_turn = !parsed->spec.session_id.empty();
  const auto look = [&] {
    return parts_.claims.look(request, tenant, surface_route(surface), *body, claims_of_turn(is_turn),
                              call_deadline());
  };
  auto looked = look();
  if (!looked) {
    responder.send(std::move(looked.error()));
    return;
  }
  Asked asked;
  asked.surface = surface;
  asked.tenant = tenant;
  asked.request = std::make_shared<const JobRequest>(parsed->spec.request);
  asked.respond_async = prefers_async(request);
  asked.background = parsed->background;
  asked.stream = parsed->stream;
  asked.include_usage = parsed->include_usage;
  asked.cancel_on_disconnect = parsed->cancel_on_disconnect;
  const auto attach_to = [&](const IdempotencyRecord& existing) {
    const JobId made{existing.resource_id};
    if (is_turn) asked.session = parts_.sessions.header_of(tenant, made, call_deadline());
    attach(asked, made, responder);
  };
  if (looked->existing) return attach_to(*looked->existing);
  std::optional<SessionTurn> session;
  if (is_turn) {
    auto turn = parts_.sessions.continue_with(tenant, parsed->spec, call_deadline());
    if (!turn) {
      // The turn that it meets may be what this very request made meanwhile.
      looked = look();
      if (looked && looked->existing) return attach_to(*looked->existing);
      parts_.intake.count_refused(turn.error().code);
      responder.send(std::move(turn.error().answer));
      return;
    }
    asked.session = session_header(*turn);
    session = std::move(*turn);
  }
  if (over_limit(request, parsed->spec, responder)) return;
  submit(std::move(asked), std::move(parsed->spec), std::move(looked->claim), std::move(session), responder);
}

bool CompletionApi::over_limit(const http::Request& request, const JobSpec& spec,
                               const http::Responder& responder) {
  if (parts_.guard == nullptr) return false;
  const Principal& principal = *request.principal_as<Principal>();
  auto refusal = parts_.guard->check_tokens(request, principal, kScopeSubmit, spec.tokens_max);
  if (!refusal) return false;
  parts_.intake.count_refused("rate_limit_exceeded");
  responder.send(std::move(*refusal));
  return true;
}

http::Response CompletionApi::at_once(const Asked& asked, const Job& job) {
  if (!asked.respond_async) return response_answer(job, *asked.request);
  http::Response answer = of_session(pending_answer(asked.surface, job), asked.session);
  answer.headers.set("Preference-Applied", "respond-async");
  return answer;
}

void CompletionApi::open_stream(const Asked& asked, const Job& job, const http::Responder& responder,
                                std::string_view cache) {
  auto events = asked.surface == Surface::kResponse ? make_response_events(asked.request)
                                                    : make_chunk_events(asked.surface, asked.include_usage);
  AnswerStreams::Options options;
  options.session = asked.session;
  options.on_left = when_left(asked, job.id);
  options.cache = cache;
  parts_.streams.open(job, std::move(events), responder, std::move(options));
}

std::function<void()> CompletionApi::when_left(const Asked& asked, const JobId& id) {
  if (!asked.cancel_on_disconnect) return {};
  return [this, tenant = asked.tenant, id] { parts_.left_jobs.add(tenant, id); };
}

CompletionWaits::WaitPtr CompletionApi::add_wait(const Asked& asked, const JobId& id,
                                                 const http::Responder& responder,
                                                 std::function<void()> on_left) {
  CompletionWaits::Asked waited;
  waited.surface = asked.surface;
  waited.tenant = asked.tenant;
  waited.request = asked.request;
  waited.session = asked.session;
  waited.on_left = std::move(on_left);
  return parts_.waits.add(std::move(waited), id, responder);
}

void CompletionApi::attach(const Asked& asked, const JobId& id, const http::Responder& responder) {
  const bool waits = !asked.respond_async && !asked.background && !asked.stream;
  const auto wait = waits ? add_wait(asked, id, responder, when_left(asked, id)) : nullptr;
  if (waits && !wait) {
    responder.send(too_many_wait());
    return;
  }
  const auto job = parts_.reader.get(asked.tenant, id, call_deadline());
  if (job && !is_final(job->state) && wait) return;
  if (wait) parts_.waits.give_up(wait);
  if (!job) {
    responder.send(completion_failure(asked.surface, job.error()));
  } else if (job->erased) {
    // Since the request's key was looked up.
    responder.send(no_such_completion(asked.surface));
  } else if (asked.stream) {
    open_stream(asked, *job, responder);
  } else if (is_final(job->state) && !asked.background) {
    responder.send(of_session(final_answer(asked.surface, *job, asked.request.get()), asked.session));
  } else {
    responder.send(at_once(asked, *job));
  }
}

void CompletionApi::submit(Asked asked, JobSpec spec, std::optional<IdempotencyClaim> claim,
                           std::optional<SessionTurn> session, const http::Responder& responder) {
  std::vector<JobSpec> specs;
  specs.push_back(std::move(spec));
  Submission submission = parts_.intake.make(asked.tenant, std::move(specs), false);
  submission.claim = std::move(claim);
  submission.session = std::move(session);

  // Before the job is there, so that its end can't be missed.
  CompletionWaits::WaitPtr wait;
  std::shared_ptr<LeftJobs::OnItsWay> leaving;
  if (!asked.respond_async && !asked.background && !asked.stream) {
    const JobId& id = submission.jobs.front().job.id;
    std::function<void()> on_left;
    if (asked.cancel_on_disconnect) {
      leaving = std::make_shared<LeftJobs::OnItsWay>(parts_.left_jobs, asked.tenant, id);
      on_left = [leaving] { leaving->leave(); };
    }
    wait = add_wait(asked, id, responder, std::move(on_left));
    if (!wait) {
      parts_.intake.count_refused("overloaded");
      responder.send(too_many_wait());
      return;
    }
  }
  auto refused = parts_.intake.submit(
      std::move(submission),
      [this, asked, wait, leaving, responder](JobIntake::Outcome outcome) {
        if (leaving) leaving->settle(outcome || outcome.error().may_be_there);
        if (outcome) {
          const NewJob& fresh = outcome->jobs.front();
          if (asked.stream) {
            open_stream(asked, fresh.job, responder, cache_state(fresh));
          } else if (!wait) {
            responder.send(at_once(asked, fresh.job));
          } else if (fresh.answer) {
            parts_.waits.answer(wait, fresh.job, cache_state(fresh));
          }
          return;
        }
        if (wait) parts_.waits.give_up(wait);
        const auto& existing = outcome.error().existing;
        if (existing) {
          // Reads the job: not for this thread, on which others' jobs wait to be committed.
          const JobId id{existing->resource_id};
          responder.run_on_stage([this, asked, id, responder]() mutable {
            if (!asked.session.empty()) {
              asked.session = parts_.sessions.header_of(asked.tenant, id, call_deadline());
            }
            attach(asked, id, responder);
          });
          return;
        }
        responder.send(std::move(outcome.error().answer));
      },
      [responder, alone = asked.cancel_on_disconnect] {
        return alone ? responder.cancelled() : responder.gone();
      });
  if (!refused) return;
  if (wait) parts_.waits.give_up(wait);
  responder.send(std::move(*refused));
}

http::Response CompletionApi::render(Surface surface, const Result<Job>& job) {
  if (!job) return completion_failure(surface, job.error());
  if (job->surface != surface) return no_such_completion(surface);
  if (surface != Surface::kResponse) {
    return is_final(job->state) ? final_answer(surface, *job, nullptr) : pending_answer(surface, *job);
  }
  const auto asked = request_of(*job);
  return asked ? response_answer(*job, *asked) : completion_failure(surface, asked.error());
}

Result<JobRequest> CompletionApi::request_of(const Job& job) {
  SLUICE_ASSIGN(const std::string text, parts_.store.get_request(job.tenant, job.id, call_deadline()));
  return job_request_from_json(text);
}

void CompletionApi::retrieve(Surface surface, const http::Request& request,
                             const http::Responder& responder) {
  const auto id = id_of(surface, request);
  if (!id) {
    responder.send(no_such_completion(surface));
    return;
  }
  auto job = parts_.reader.get(tenant_of(request), *id, call_deadline());
  const bool stream = surface == Surface::kResponse && request.query_value("stream") == "true";
  if (!stream || !job || job->surface != surface) {
    responder.send(render(surface, job));
    return;
  }
  const auto starting_after = read_starting_after(request);
  if (!starting_after) {
    responder.send(bad_query(starting_after.error()));
    return;
  }
  const auto asked = request_of(*job);
  if (!asked) {
    responder.send(completion_failure(surface, asked.error()));
    return;
  }
  parts_.streams.open(*job, make_response_events(std::make_shared<const JobRequest>(*asked), *starting_after),
                      responder, {});
}

void CompletionApi::cancel_response(const http::Request& request, const http::Responder& responder) {
  auto job = named_response(request);
  if (job && !is_final(job->state)) {
    job = parts_.store.cancel(job->tenant, job->id, call_deadline());
    if (job) parts_.waiters.notify(job->id);
  }
  responder.send(render(Surface::kResponse, job));
}

Result<Job> CompletionApi::named_response(const http::Request& request) {
  const auto id = id_of(Surface::kResponse, request);
  if (!id) return fail(ErrorCode::kNotFound, "not an id");
  SLUICE_ASSIGN(Job job, parts_.reader.get_fresh(tenant_of(request), *id, call_deadline()));
  if (job.surface != Surface::kResponse) return fail(ErrorCode::kNotFound, "not a response");
  return job;
}

void CompletionApi::delete_response(const http::Request& request, const http::Responder& responder) {
  Result<Job> job = named_response(request);
  if (job) job = parts_.store.erase(job->tenant, job->id, call_deadline());
  if (!job) {
    responder.send(job.error().code == ErrorCode::kConflict
                       ? response_of_batch()
                       : completion_failure(Surface::kResponse, job.error()));
    return;
  }
  parts_.waiters.notify(job->id);
  // Nothing reads the job's own copies in Redis any more: if that is away, they stay until their time is
  // over.
  (void)parts_.hot.forget({job->id, job->generation}, call_deadline());
  responder.send(http::json_response(
      200,
      {{"id", openai::surface_id(Surface::kResponse, job->id)}, {"object", "response"}, {"deleted", true}}));
}

Result<std::vector<RequestMessage>> CompletionApi::conversation_of(const TenantId& tenant, const JobId& id) {
  SLUICE_ASSIGN(const Job job, parts_.reader.get(tenant, id, call_deadline()));
  if (job.surface != Surface::kResponse || !job.result) return fail(ErrorCode::kNotFound, "no answer");
  SLUICE_ASSIGN(JobRequest asked, request_of(job));
  const auto echo = nlohmann::json::parse(asked.echo_json, nullptr, false);
  // Instructions are each request's own.
  if (echo.is_object() && echo.contains("instructions") && !asked.messages.empty()) {
    asked.messages.erase(asked.messages.begin());
  }
  asked.messages.push_back({"assistant", job.result->text});
  return std::move(asked.messages);
}

}  // namespace sluice::producer
