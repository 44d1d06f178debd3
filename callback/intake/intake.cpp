#include "callback/intake/intake.h"

#include "common/base/failpoint.h"
#include "common/store/event_store.h"

namespace sluice::callback {

namespace {
constexpr std::chrono::seconds kLook{1};
}

Intake::Intake(IntakeConfig config, Decider& decider, IntakeBroker broker,
               std::function<void()> on_deliveries, Clock& clock, Rng& rng, Log log,
               metrics::Registry& registry)
    : config_(config),
      decider_(decider),
      broker_(std::move(broker)),
      on_deliveries_(std::move(on_deliveries)),
      clock_(clock),
      log_(std::move(log)),
      events_(registry.counter_family(
          "sluice_callback_events_total",
          "Event messages taken off the broker, by what was decided: delivery, no_receiver, "
          "duplicate, unknown, malformed, refused",
          {"outcome"})),
      batch_events_(registry.histogram("sluice_callback_batch_events", "Messages decided in one transaction",
                                       metrics::power_buckets(10))),
      errors_(registry.counter("sluice_callback_decide_errors_total",
                               "Transactions of the intake that failed and were tried again")),
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
    errors_.add();
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
    auto decided = decider_.decide(std::move(events), Deadline::in(clock_, config_.call_timeout));
    if (!decided && decided.error().code == ErrorCode::kInvalid) {
      if (messages.size() > 1) {
        // The database refuses one of them: halve, so that it fails none of its neighbours.
        SLUICE_TRY(settle(messages.first(messages.size() / 2)));
        return settle(messages.subspan(messages.size() / 2));
      }
      log_.error("event_refused", {{"error", decided.error().message}});
      events_.with({"refused"}).add();
      decided = DecideCounts{};
    }
    if (!decided) return fail(decided.error());
    counts = *decided;
  }
  SLUICE_FAILPOINT("callback.after_decide");
  broker_.ack(tags);
  batch_events_.observe(static_cast<double>(messages.size()));
  events_.with({"malformed"}).add(malformed);
  count(counts);
  if (counts.deliveries > 0) on_deliveries_();
  return {};
}

void Intake::count(const DecideCounts& counts) {
  events_.with({"delivery"}).add(counts.deliveries);
  events_.with({"no_receiver"}).add(counts.no_receiver);
  events_.with({"duplicate"}).add(counts.duplicates);
  events_.with({"unknown"}).add(counts.unknown);
}

}  // namespace sluice::callback
