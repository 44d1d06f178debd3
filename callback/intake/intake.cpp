#include "callback/intake/intake.h"

#include "common/base/failpoint.h"
#include "common/store/event_store.h"

namespace sluice::callback {

namespace {
constexpr std::chrono::seconds kLook{1};
}

Intake::Intake(IntakeConfig config, Decider& decider, IntakeBroker broker,
               std::function<void()> on_deliveries, Clock& clock, Rng& rng, Log log, IntakeMetrics metrics)
    : config_(config),
      decider_(decider),
      broker_(std::move(broker)),
      on_deliveries_(std::move(on_deliveries)),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      // After a reconnect the broker delivers again what is still held here.
      waiting_(2 * static_cast<std::size_t>(config.prefetch)),
      backoff_(config.retry, rng),
      loop_("events-intake", clock, [this] { return round(); }) {}

Intake::~Intake() {
  stop();
}

void Intake::offer(Delivery&& message) {
  const DeliveryTag tag = message.tag;
  if (!waiting_.push(std::move(message))) broker_.give_back(tag);
}

void Intake::start() {
  loop_.start();
}

void Intake::stop() {
  waiting_.close();
  loop_.stop();
}

Duration Intake::round() {
  if (waiting_.closed()) return kLook;
  if (batch_.empty()) {
    batch_ =
        waiting_.pop_many(clock_, static_cast<std::size_t>(config_.batch_max), clock_.steady_now() + kLook);
    if (batch_.empty()) return Duration(0);
  }
  if (const Status settled = settle(batch_); !settled) {
    metrics_.errors.add();
    log_.warn_limited("events_decide_failed",
                      {{"error", settled.error().message}, {"events", batch_.size()}});
    return backoff_.next();
  }
  backoff_.reset();
  batch_.clear();
  return Duration(0);
}

Status Intake::settle(std::span<const Delivery> messages) {
  std::vector<DeliveryTag> tags;
  std::vector<EventId> events;
  int malformed = 0;
  for (const Delivery& message : messages) {
    tags.push_back(message.tag);
    if (auto event = event_ref_from_json(message.body)) {
      events.push_back(std::move(event->id));
    } else {
      ++malformed;
      log_.warn_limited("event_message_malformed", {{"error", event.error().message}});
    }
  }
  DecideCounts counts;
  SLUICE_FAILPOINT("callback.before_decide");
  if (!events.empty()) {
    const SteadyTime began = clock_.steady_now();
    auto decided = decider_.decide(std::move(events), Deadline::in(clock_, config_.call_timeout));
    metrics_.decide_seconds.observe(std::chrono::duration<double>(clock_.steady_now() - began).count());
    if (!decided && decided.error().code == ErrorCode::kInvalid) {
      if (messages.size() > 1) {
        // The database refuses one of them: halve, so that it fails none of its neighbours.
        SLUICE_TRY(settle(messages.first(messages.size() / 2)));
        return settle(messages.subspan(messages.size() / 2));
      }
      log_.error("event_refused", {{"error", decided.error().message}});
      metrics_.events.with({"refused"}).add();
      decided = DecideCounts{};
    }
    if (!decided) return fail(decided.error());
    counts = *decided;
  }
  SLUICE_FAILPOINT("callback.after_decide");
  broker_.ack(tags);
  metrics_.batch_events.observe(static_cast<double>(messages.size()));
  metrics_.events.with({"malformed"}).add(malformed);
  count(counts);
  if (counts.deliveries > 0) on_deliveries_();
  return {};
}

void Intake::count(const DecideCounts& counts) {
  metrics_.events.with({"delivery"}).add(counts.deliveries);
  metrics_.events.with({"waiting"}).add(counts.waiting);
  metrics_.events.with({"no_receiver"}).add(counts.no_receiver);
  metrics_.events.with({"duplicate"}).add(counts.duplicates);
  metrics_.events.with({"unknown"}).add(counts.unknown);
}

}  // namespace sluice::callback
