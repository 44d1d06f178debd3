#include "producer/api/job_events.h"

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "common/http/body_json.h"
#include "common/http/error_response.h"
#include "common/http/sse.h"
#include "producer/api/answers.h"
#include "producer/api/event_mark.h"
#include "producer/api/query.h"

namespace sluice::producer {

namespace {

using nlohmann::json;

constexpr int kWatchersRetryS = 5;
// Bytes that may wait for a slow client before it is dropped; it comes back with its last id.
constexpr std::size_t kQueueBytesMax = 4U << 20;
// Positions and estimates alone are told at most this often.
constexpr std::chrono::seconds kEstimatesEvery{1};

json number_or_null(std::optional<std::int64_t> number) {
  return number ? json(*number) : json();
}

// One client's stream. Written to by one thread at a time: the handler's until the watch begins, then the
// feed's.
class Follower : public std::enable_shared_from_this<Follower> {
 public:
  Follower(http::ResponseStream stream, const JobEventsParts& parts, EventMark mark)
      : stream_(std::move(stream)), parts_(parts), mark_(mark) {}

  FeedCallbacks callbacks() {
    FeedCallbacks callbacks;
    callbacks.on_state = [self = shared_from_this()](const JobGlance& glance, const LiveState& state) {
      self->state(glance, state);
    };
    callbacks.on_text = [self = shared_from_this()](const TextPiece& piece) { self->text(piece); };
    callbacks.on_mismatch = [self = shared_from_this()] { self->mismatch(); };
    callbacks.on_final = [self = shared_from_this()](const Result<Job>& job) { self->end(job); };
    return callbacks;
  }
  // What the watch is known by; it may have ended already.
  void watched_as(TokenFeed::Ticket ticket) {
    ticket_ = ticket;
    if (left_) parts_.feed.remove(ticket);
  }
  void leave() {
    left_ = true;
    if (const TokenFeed::Ticket ticket = ticket_; ticket != 0) parts_.feed.remove(ticket);
  }

  void text(const TextPiece& piece) {
    // Thoughts come before text, so that one hash goes on through both.
    mark_.hash = live_hash(live_hash(mark_.hash, piece.reasoning), piece.text);
    mark_.place = {piece.at.text + piece.text.size(), piece.at.reasoning + piece.reasoning.size()};
    write("text", {{"offset", piece.at.text},
                   {"text", piece.text},
                   {"reasoning_offset", piece.at.reasoning},
                   {"reasoning", piece.reasoning},
                   {"completion_tokens", piece.tokens > 0 ? json(piece.tokens) : json()}});
  }

  void mismatch() {
    write("mismatch",
          {{"message",
            "A later attempt says something else than what was told. The whole answer comes with the end."}});
  }

  void end(const Result<Job>& job) {
    // The producer stops (or the job could not be read): the client comes back with its last id.
    if (!job) return stream_.end();
    mark_.final = true;
    // It says the whole answer again, and who is cut off for it would be told both anew, and cut off again.
    http::end_with(stream_, event("final", job_to_json(*job)));
  }

 private:
  void state(const JobGlance& glance, const LiveState& state) {
    const SteadyTime now = parts_.clock.steady_now();
    const auto estimate = parts_.estimate ? parts_.estimate(glance) : std::nullopt;
    const bool changed = state.order() > mark_.order;
    // A client that comes back knows the state; what else is known it hears when that changes.
    if (!changed && !told_estimate_) told_estimate_ = estimate;
    if (!changed && (told_estimate_ == estimate || now < estimates_at_)) return;
    mark_.order = std::max(mark_.order, state.order());
    told_estimate_ = estimate;
    estimates_at_ = now + kEstimatesEvery;
    write("state", {{"status", job_state_name(state.state)},
                    {"attempt", state.attempt},
                    {"generation", glance.generation},
                    {"queue_position", number_or_null(estimate ? estimate->queue_position : std::nullopt)},
                    {"estimated_start_at", seconds_or_null(estimate ? estimate->start_us : 0)},
                    {"estimated_finish_at", seconds_or_null(estimate ? estimate->finish_us : 0)},
                    {"prompt_tokens", glance.prompt_tokens},
                    {"completion_tokens", state.tokens}});
  }

  std::string event(std::string_view name, const json& data) const {
    const std::string id = event_mark_text(mark_);
    const std::string text = http::dump_json(data);
    return http::sse_event({.id = id, .event = name, .data = text});
  }

  void write(std::string_view name, const json& data) {
    const http::Kept kept = stream_.write(event(name, data));
    if (kept == http::Kept::kKept) return;
    if (kept == http::Kept::kFull) stream_.abort();
    leave();
  }

  const http::ResponseStream stream_;
  const JobEventsParts& parts_;
  EventMark mark_;  // What the client was told by now.
  std::optional<Estimate> told_estimate_;
  SteadyTime estimates_at_{};
  std::atomic<TokenFeed::Ticket> ticket_{0};
  std::atomic<bool> left_{false};
};

// Whether what a client was told up to `mark` is what the ended job says.
bool was_told_this(const Job& job, const EventMark& mark) {
  if (!job.result) return true;
  LiveAnswer answer;
  answer.complete(job.result->text, job.result->reasoning_content);
  return answer.covers(mark.place) && answer.hash_before(mark.place) == mark.hash;
}

// All of a job that has ended, for a client that was told up to `mark`.
void tell_all(Follower& follower, const Job& job, const EventMark& mark) {
  if (!was_told_this(job, mark)) {
    follower.mismatch();
  } else if (job.result) {
    const std::string_view text = job.result->text;
    const std::string_view reasoning = job.result->reasoning_content;
    TextPiece piece;
    piece.at = mark.place;
    piece.reasoning = reasoning.substr(mark.place.reasoning);
    piece.text = text.substr(mark.place.text);
    piece.tokens = job.result->completion_tokens;
    if (!piece.reasoning.empty() || !piece.text.empty()) follower.text(piece);
  }
  follower.end(job);
}

}  // namespace

void JobEventsApi::add_routes(http::Router& router) {
  http::Route route;
  route.authenticate = parts_.authenticator.require(kScopeRead);
  route.handler = [this](http::Request request, http::Responder responder) { follow(request, responder); };
  router.add(http::Method::kGet, "/v1/jobs/{id}/events", std::move(route));
}

void JobEventsApi::follow(const http::Request& request, const http::Responder& responder) {
  if (const auto none = read_no_query(request); !none) {
    responder.send(bad_query(none.error()));
    return;
  }
  EventMark mark;
  const auto last_id = request.headers.get("Last-Event-ID");
  if (last_id && !last_id->empty()) {
    const auto given = event_mark_from(*last_id);
    if (!given) {
      responder.send(http::error_response(400, http::error_type::kInvalidRequest, "invalid_last_event_id",
                                          "Last-Event-ID must be the id of an event of this job.",
                                          "Last-Event-ID"));
      return;
    }
    mark = *given;
  }
  const std::string_view id_text = request.path_param("id");
  if (!is_well_formed_id(id_text, JobIdTag::kPrefix)) {
    responder.send(no_such_job());
    return;
  }
  const JobId id{std::string(id_text)};
  const TenantId& tenant = tenant_of(request);
  const auto job = parts_.reader.get(tenant, id, Deadline::in(parts_.clock, call_timeout_));
  if (!job) {
    responder.send(store_failure(job.error()));
    return;
  }
  if (mark.final && mark.generation == job->generation && is_final(job->state)) {
    // Browsers come back after every end; this tells them not to.
    responder.send(http::Response::empty(204));
    return;
  }
  // Another generation begins anew.
  if (mark.final || mark.generation != job->generation) mark = EventMark{job->generation};
  const bool ended = is_final(job->state);
  if (!ended && !parts_.feed.has_room()) {
    responder.send(
        http::busy_response(503, "overloaded", "Too many read along with jobs just now.", kWatchersRetryS));
    return;
  }
  auto stream = http::open_sse(responder, http::sse_head(), kQueueBytesMax);
  if (!stream) return;
  const auto follower = std::make_shared<Follower>(*stream, parts_, mark);
  if (ended) {
    tell_all(*follower, *job, mark);
    return;
  }
  const auto ticket = parts_.feed.watch(tenant, id, job->generation, mark.place, follower->callbacks(),
                                        last_id ? std::optional(mark.hash) : std::nullopt);
  if (!ticket) {
    stream->abort();
    return;
  }
  follower->watched_as(*ticket);
  // Whoever only ended its side of the connection still reads; others are noticed when they are written to.
  stream->on_disconnect([follower, stream = *stream] {
    if (stream.gone()) follower->leave();
  });
}

}  // namespace sluice::producer
