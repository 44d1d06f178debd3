#include "producer/dispatch/relay.h"

#include <algorithm>
#include <utility>

#include "common/base/failpoint.h"
#include "common/rabbitmq/topology.h"

namespace sluice::producer {

namespace {

Message event_message(const EventRef& event) {
  Message message;
  message.exchange = kEventsExchange;
  message.routing_key = event.type;
  message.body = event_ref_to_json(event);
  message.message_id = event.id.value;
  message.type = event.type;
  return message;
}

}  // namespace

Relay::Relay(EventStore& store, Broker& broker, OwnedShards owned, OnEvent on_event, RelayConfig config,
             Clock& clock, Rng& rng, Log log, LoopMetrics metrics)
    : store_(store),
      broker_(broker),
      owned_(std::move(owned)),
      on_event_(std::move(on_event)),
      config_(config),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      backoff_(config.down, rng),
      loop_("relay", clock, [this] { return run_once(); }) {}

Duration Relay::run_once() {
  const std::vector<int> shards = owned_();
  if (shards.empty()) return config_.poll_every;
  if (!broker_.ready()) return backoff_.next();
  auto due = store_.due_events(shards, config_.batch_max, call_deadline());
  if (!due) {
    metrics_.loop_failures.with({"relay"}).add();
    log_.warn_limited("due_events_failed", {{"error", due.error().message}});
    return backoff_.next();
  }
  metrics_.events_due.set(static_cast<double>(due->size()));
  if (due->empty()) {
    backoff_.reset();
    return config_.poll_every;
  }

  const bool any_again =
      std::any_of(due->begin(), due->end(), [](const DueEvent& event) { return event.publishes > 0; });
  bool gone = false;
  if (any_again) {
    const auto answer = lost();
    if (!answer) return backoff_.next();
    gone = *answer;
  }
  std::vector<EventRef> sending;
  std::vector<EventId> look_later;
  for (DueEvent& event : *due) {
    if (event.publishes > 0 && !gone) {
      look_later.push_back(std::move(event.ref.id));
    } else {
      if (event.publishes == 0) on_event_(event.ref);
      sending.push_back(std::move(event.ref));
    }
  }
  metrics_.events_deferred.add(static_cast<double>(look_later.size()));
  Sent sent = send(std::move(sending));
  SLUICE_FAILPOINT("relay.after_publish");
  look_later.insert(look_later.end(), sent.unknown.begin(), sent.unknown.end());
  Status marked;
  if (!sent.confirmed.empty()) marked = store_.mark_events(sent.confirmed, true, call_deadline());
  if (marked && !look_later.empty()) marked = store_.mark_events(look_later, false, call_deadline());
  if (!marked) log_.warn_limited("mark_events_failed", {{"error", marked.error().message}});
  if (!marked || !sent.all) {
    metrics_.loop_failures.with({"relay"}).add();
    return backoff_.next();
  }
  backoff_.reset();
  const bool more = static_cast<int>(due->size()) == config_.batch_max;
  return more ? Duration::zero() : Duration(std::min(config_.poll_busy, config_.poll_every));
}

Result<bool> Relay::lost() {
  const auto depth = broker_.depth(std::string(kCallbackQueue), call_deadline());
  const bool missing = !depth && depth.error().code == ErrorCode::kNotFound;
  if (missing) SLUICE_TRY(broker_.declare_topology(call_deadline()));
  if (!depth && !missing) return fail(depth.error());
  if (missing || depth->ready == 0) empty_at_ = clock_.steady_now();
  return empty_at_ && clock_.steady_now() - *empty_at_ < config_.due_again_after;
}

Relay::Sent Relay::send(std::vector<EventRef> events) {
  Sent sent;
  for (int round = 0; round < 2 && !events.empty(); ++round) {
    std::vector<Message> messages;
    messages.reserve(events.size());
    for (const EventRef& event : events) messages.push_back(event_message(event));
    const std::vector<Status> answers =
        broker_.publish_all(std::move(messages), Deadline::in(clock_, config_.publish_timeout));
    std::vector<EventRef> no_route;
    for (std::size_t i = 0; i < events.size(); ++i) {
      const PublishOutcome outcome = publish_outcome(answers[i]);
      if (outcome == PublishOutcome::kConfirmed) {
        sent.confirmed.push_back(std::move(events[i].id));
        continue;
      }
      metrics_.events_failed.with({error_code_name(answers[i].error().code)}).add();
      log_.warn_limited("event_not_published", {{"code", error_code_name(answers[i].error().code)},
                                                {"error", answers[i].error().message}});
      if (outcome == PublishOutcome::kUnknown) {
        sent.unknown.push_back(std::move(events[i].id));
      } else if (outcome == PublishOutcome::kNoRoute) {
        no_route.push_back(std::move(events[i]));
      } else {
        sent.all = false;
      }
    }
    events = std::move(no_route);
    // The broker was wiped: whatever it held is gone.
    if (!events.empty()) empty_at_ = clock_.steady_now();
    if (!events.empty() && !broker_.declare_topology(call_deadline())) break;
  }
  sent.all = sent.all && events.empty();
  metrics_.events_published.add(static_cast<double>(sent.confirmed.size()));
  return sent;
}

}  // namespace sluice::producer
