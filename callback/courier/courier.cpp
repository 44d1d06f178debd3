#include "callback/courier/courier.h"

#include <algorithm>
#include <iterator>

#include "callback/courier/webhook_request.h"
#include "common/base/failpoint.h"

namespace sluice::callback {

using std::chrono::milliseconds;

namespace {

constexpr std::size_t kRecordBatch = 200;
constexpr int kGiveUpBatch = 500;
constexpr milliseconds kAfterError{1000};

EndpointHealth health_of(const AttemptReport& report) {
  switch (report.failure) {
    case AttemptFailure::kNone: {
      const int status = report.status.value_or(0);
      return status >= 500 || status == 429 ? EndpointHealth::kFails : EndpointHealth::kAnswers;
    }
    case AttemptFailure::kTimeout:
    case AttemptFailure::kResolve:
    case AttemptFailure::kConnect:
    case AttemptFailure::kTls:
    case AttemptFailure::kProtocol:
      return EndpointHealth::kFails;
    case AttemptFailure::kRefused:
    case AttemptFailure::kUnsendable:
    case AttemptFailure::kNoSecret:
    case AttemptFailure::kCancelled:
      break;
  }
  return EndpointHealth::kUnjudged;
}

std::string_view outcome_name(const AttemptReport& report) {
  switch (report.failure) {
    case AttemptFailure::kNone: {
      const int status = report.status.value_or(0);
      if (status < 300) return "success";
      return status < 400 ? "status_3xx" : status < 500 ? "status_4xx" : "status_5xx";
    }
    case AttemptFailure::kTimeout:
      return "timeout";
    case AttemptFailure::kResolve:
      return "resolve";
    case AttemptFailure::kConnect:
      return "connect";
    case AttemptFailure::kTls:
      return "tls";
    case AttemptFailure::kProtocol:
      return "protocol";
    case AttemptFailure::kRefused:
      return "refused";
    case AttemptFailure::kUnsendable:
      return "unsendable";
    case AttemptFailure::kNoSecret:
      return "no_secret";
    case AttemptFailure::kCancelled:
      break;
  }
  return "cancelled";
}

AttemptReport not_sent(AttemptFailure failure, std::string error) {
  AttemptReport report;
  report.failure = failure;
  report.error = std::move(error);
  return report;
}

}  // namespace

Courier::Courier(CourierConfig config, DeliveryStore& store, KeyCache& keys, Sender& sender,
                 const RetrySchedule& schedule, EndpointGate& gate, Clock& clock, Log log,
                 CourierMetrics metrics)
    : config_(config),
      store_(store),
      keys_(keys),
      sender_(sender),
      schedule_(schedule),
      gate_(gate),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      claiming_("webhook-claim", clock, [this] { return claim_round(); }),
      recording_("webhook-record", clock, [this] { return record_round(); }) {}

Courier::~Courier() {
  stop_claiming();
  recording_.stop();
}

void Courier::start() {
  recording_.start();
  claiming_.start();
}

void Courier::wake() {
  claiming_.wake();
}

void Courier::stop_claiming() {
  stopping_ = true;
  claiming_.stop();
}

bool Courier::drain(Deadline deadline) {
  MutexLock lock(mutex_);
  while (gate_.under_way() > 0 && !deadline.passed(clock_)) lock.wait_until(clock_, settled_, deadline.at());
  return gate_.under_way() == 0;
}

void Courier::stop(Deadline deadline) {
  stop_claiming();
  recording_.wake();
  if (!drain(deadline)) log_.warn("webhooks_left_unrecorded", {{"count", gate_.under_way()}});
  recording_.stop();
}

// --- claiming and sending

Duration Courier::claim_round() {
  if (stopping_) return config_.poll;
  metrics_.resting.set(gate_.resting_count());
  const auto due = store_.due_endpoints(config_.endpoints_max, soon());
  if (!due) {
    metrics_.store_errors.with({"look"}).add();
    log_.warn_limited("webhook_look_failed", {{"error", due.error().message}});
    return kAfterError;
  }
  give_up_waiting(*due);
  const std::vector<ClaimWish> wishes = gate_.wishes(*due);
  if (wishes.empty()) return config_.poll;  // Woken sooner when a place becomes free.

  const SteadyTime held_until = clock_.steady_now() + config_.hold;
  auto claimed = store_.claim(wishes, config_.hold, soon());
  if (!claimed) {
    // If the rows were taken after all, they become due again by themselves.
    metrics_.store_errors.with({"claim"}).add();
    log_.warn_limited("webhook_claim_failed", {{"error", claimed.error().message}});
    return kAfterError;
  }
  metrics_.claimed.add(static_cast<double>(claimed->size()));
  SLUICE_FAILPOINT("callback.after_claim");
  for (ClaimedDelivery& delivery : *claimed) send(std::move(delivery), held_until);
  return claimed->empty() ? Duration(config_.poll) : Duration(0);
}

void Courier::give_up_waiting(std::span<const DueEndpoint> due) {
  for (const DueEndpoint& one : due) {
    if (one.waited <= config_.give_up_after || !gate_.resting(one.endpoint)) continue;
    const auto failed = store_.give_up(one.endpoint, config_.give_up_after,
                                       "given up: the endpoint failed for too long", kGiveUpBatch, soon());
    if (!failed) {
      metrics_.store_errors.with({"give_up"}).add();
      return;
    }
    metrics_.deliveries.with({"given_up"}).add(*failed);
    log_.warn("webhooks_given_up", {{"endpoint", one.endpoint}, {"count", *failed}});
  }
}

void Courier::send(ClaimedDelivery delivery, SteadyTime held_until) {
  gate_.begin(delivery.endpoint);
  metrics_.under_way.add();
  if (delivery.body.empty()) {
    return finish(std::move(delivery), not_sent(AttemptFailure::kUnsendable, "the event's payload is gone"),
                  held_until);
  }
  const auto keys = delivery.endpoint_id.empty() ? keys_.keys(delivery.tenant, soon())
                                                 : keys_.keys(delivery.endpoint_id, soon());
  if (!keys) {
    const ErrorCode code = keys.error().code;
    // An endpoint's secret that can't be opened is mended by its tenant, who rotates it.
    const bool sealed = code == ErrorCode::kCorrupt && !delivery.endpoint_id.empty();
    const bool is_tenants = code == ErrorCode::kNotFound || code == ErrorCode::kInvalid || sealed;
    if (!is_tenants || sealed)
      log_.warn_limited("webhook_secret_unreadable", {{"error", keys.error().message}});
    return finish(
        std::move(delivery),
        not_sent(is_tenants ? AttemptFailure::kNoSecret : AttemptFailure::kCancelled, keys.error().message),
        held_until);
  }
  SendRequest request = webhook_request(delivery, *keys, clock_.wall_now());
  if (SLUICE_DEFECT("callback.record_before_post")) {
    AttemptReport hoped;
    hoped.status = 200;
    finish(std::move(delivery), std::move(hoped), held_until);
    return sender_.send(std::move(request), [](AttemptReport) {});
  }
  sender_.send(std::move(request),
               [this, delivery = std::move(delivery), held_until](AttemptReport report) mutable {
                 SLUICE_FAILPOINT("callback.after_post");
                 finish(std::move(delivery), std::move(report), held_until);
               });
}

void Courier::finish(ClaimedDelivery delivery, AttemptReport report, SteadyTime held_until) {
  Finished finished{std::move(delivery), std::move(report), {}, held_until};
  if (finished.report.failure != AttemptFailure::kCancelled) {
    const int made = finished.delivery.ref.attempts - finished.delivery.attempts_base + 1;
    finished.verdict = schedule_.verdict(finished.report, made);
  }
  {
    MutexLock lock(mutex_);
    finished_.push_back(std::move(finished));
  }
  recording_.wake();
}

// --- recording

Duration Courier::record_round() {
  {
    MutexLock lock(mutex_);
    for (Finished& one : finished_) {
      auto& to = one.report.failure == AttemptFailure::kCancelled ? unsettled_returns_ : unsettled_;
      to.push_back(std::move(one));
    }
    finished_.clear();
  }
  if (unsettled_.empty() && unsettled_returns_.empty()) return std::chrono::hours(1);  // Woken by what comes.

  Status done = record(unsettled_);
  if (done) done = put_back(unsettled_returns_);
  if (!done) {
    metrics_.store_errors.with({"record"}).add();
    log_.warn_limited("webhook_record_failed", {{"error", done.error().message}});
    drop_lapsed(unsettled_);
    drop_lapsed(unsettled_returns_);
  }
  {
    MutexLock lock(mutex_);  // So that drain() can't look just before and wait just after.
  }
  settled_.notify_all();
  claiming_.wake();
  return done ? Duration(0) : Duration(kAfterError);
}

Result<std::vector<RecordOutcome>> Courier::record_batch(std::span<const Finished> batch) {
  std::vector<AttemptRecord> records;
  records.reserve(batch.size());
  for (const Finished& one : batch) {
    records.push_back(
        {one.delivery.ref, one.delivery.endpoint_id, one.report, one.verdict, one.delivery.url});
  }
  auto outcomes = store_.record(records, soon());
  if (outcomes || outcomes.error().code != ErrorCode::kInvalid) return outcomes;
  if (batch.size() > 1) {
    // One of them can't be stored: halve, so that it fails none of its neighbours.
    SLUICE_ASSIGN(auto first, record_batch(batch.first(batch.size() / 2)));
    SLUICE_ASSIGN(const auto second, record_batch(batch.subspan(batch.size() / 2)));
    first.insert(first.end(), second.begin(), second.end());
    return first;
  }
  // What it said can't be stored; that it was made still must be, or it would be made for ever.
  log_.error("webhook_report_refused",
             {{"delivery_id", batch.front().delivery.ref.id.value}, {"error", outcomes.error().message}});
  records.front().report.response.clear();
  records.front().report.error = "the report could not be stored";
  return store_.record(records, soon());
}

Status Courier::record(std::vector<Finished>& finished) {
  while (!finished.empty()) {
    const std::size_t count = std::min(kRecordBatch, finished.size());
    const auto outcomes = record_batch(std::span(finished).first(count));
    if (!outcomes) return fail(outcomes.error());
    SLUICE_FAILPOINT("callback.after_record");
    for (std::size_t i = 0; i < count; ++i) tell(finished[i], (*outcomes)[i]);
    finished.erase(finished.begin(), finished.begin() + static_cast<std::ptrdiff_t>(count));
  }
  return {};
}

Status Courier::put_back(std::vector<Finished>& finished) {
  if (finished.empty()) return {};
  std::vector<DeliveryRef> claims;
  for (const Finished& one : finished) claims.push_back(one.delivery.ref);
  SLUICE_TRY(store_.release(claims, stopping_ ? milliseconds(0) : config_.put_back_delay, soon()));
  metrics_.put_back.add(static_cast<double>(claims.size()));
  for (const Finished& one : finished) {
    metrics_.under_way.subtract();
    gate_.end(one.delivery.endpoint, EndpointHealth::kUnjudged);
  }
  finished.clear();
  return {};
}

void Courier::tell(const Finished& finished, RecordOutcome outcome) {
  const auto& [delivery, report, verdict, held_until] = finished;
  metrics_.under_way.subtract();
  gate_.end(delivery.endpoint, health_of(report));
  if (outcome == RecordOutcome::kLost) {
    metrics_.lost.add();
    log_.warn_limited("webhook_claim_lost", {{"delivery_id", delivery.ref.id.value}});
    return;
  }
  metrics_.attempts.with({outcome_name(report)}).add();
  metrics_.attempt_seconds.observe(std::chrono::duration<double>(report.duration).count());
  if (verdict.kind != Verdict::Kind::kRetry) {
    metrics_.deliveries.with({verdict.kind == Verdict::Kind::kDelivered ? "delivered" : "failed"}).add();
  }
  const char* const event = verdict.kind == Verdict::Kind::kDelivered ? "webhook_delivered"
                            : verdict.kind == Verdict::Kind::kRetry   ? "webhook_attempt_failed"
                                                                      : "webhook_failed";
  log_.info(event, {{"delivery_id", delivery.ref.id.value},
                    {"event_id", delivery.event_id.value},
                    {"job_id", delivery.job_id.value},
                    {"endpoint", delivery.endpoint},
                    {"attempt", delivery.ref.attempts + 1},
                    {"status", report.status.value_or(0)},
                    {"error", report.error},
                    {"duration_ms", report.duration.count()},
                    {"retry_in_ms", verdict.delay.count()}});
}

// The row is due again by now and somebody else's: recording it could only fail.
void Courier::drop_lapsed(std::vector<Finished>& finished) {
  const SteadyTime now = clock_.steady_now();
  std::erase_if(finished, [&](const Finished& one) {
    if (now < one.held_until) return false;
    metrics_.under_way.subtract();
    metrics_.lost.add();
    gate_.end(one.delivery.endpoint, health_of(one.report));
    return true;
  });
}

}  // namespace sluice::callback
