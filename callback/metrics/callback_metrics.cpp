#include "callback/metrics/callback_metrics.h"

#include <initializer_list>

namespace sluice::callback {

namespace {

metrics::CounterFamily family(metrics::Registry& registry, const std::string& name, const std::string& help,
                              const std::string& label, std::initializer_list<std::string_view> values) {
  auto made = registry.counter_family(name, help, {label});
  for (const std::string_view value : values) made.with({value});
  return made;
}

}  // namespace

CallbackMetrics make_callback_metrics(metrics::Registry& registry) {
  const auto& seconds = metrics::request_seconds_buckets();
  CallbackMetrics m;
  m.intake.events =
      family(registry, "sluice_callback_events_total", "Event messages, by what was decided", "outcome",
             {"delivery", "waiting", "no_receiver", "duplicate", "unknown", "malformed", "refused"});
  m.intake.batch_events = registry.histogram("sluice_callback_batch_events",
                                             "Event messages decided together", metrics::power_buckets(10));
  m.intake.decide_seconds =
      registry.histogram("sluice_callback_decide_seconds", "Time of one decision about a batch", seconds);
  m.intake.errors =
      registry.counter("sluice_callback_decide_errors_total", "Decisions that failed and were tried again");

  m.courier.deliveries = family(registry, "sluice_webhook_deliveries_total", "Deliveries that ended",
                                "outcome", {"delivered", "failed", "given_up"});
  m.courier.attempts =
      family(registry, "sluice_webhook_attempts_total", "Recorded attempts, by how they went", "outcome",
             {"success", "status_3xx", "status_4xx", "status_5xx", "timeout", "resolve", "connect", "tls",
              "protocol", "refused", "unsendable", "no_secret"});
  m.courier.attempt_seconds =
      registry.histogram("sluice_webhook_attempt_seconds", "Time of one recorded attempt", seconds);
  m.courier.claimed = registry.counter("sluice_webhook_claimed_total", "Deliveries taken to be sent");
  m.courier.lost =
      registry.counter("sluice_webhook_claims_lost_total",
                       "Attempts not recorded because their claim had lapsed; they are made again");
  m.courier.put_back =
      registry.counter("sluice_webhook_put_back_total", "Claims given back without an attempt");
  m.courier.store_errors =
      family(registry, "sluice_webhook_store_errors_total", "Failed calls of the database", "call",
             {"look", "claim", "record", "give_up"});
  m.courier.under_way = registry.gauge("sluice_webhook_under_way", "Deliveries being sent or recorded");
  m.courier.resting =
      registry.gauge("sluice_webhook_resting_endpoints", "Endpoints that only fail: tried seldom");

  m.backlog.pending =
      registry.gauge("sluice_webhook_pending", "Deliveries that have not ended, counted to 100,000");
  m.backlog.oldest_due_seconds = registry.gauge("sluice_webhook_oldest_due_seconds",
                                                "How long the longest waiting delivery has been due");
  m.backlog.disabled_endpoints =
      registry.gauge("sluice_webhook_disabled_endpoints",
                     "Registered endpoints that were disabled because they were gone or only failed");

  m.batches.closed = family(registry, "sluice_callback_batches_closed_total",
                            "Batches whose files were made, by how they ended", "status",
                            {"completed", "expired", "cancelled", "failed"});
  m.batches.lines = family(registry, "sluice_callback_batch_lines_total", "Lines in the files of batches",
                           "file", {"output", "error"});
  m.batches.line_groups = registry.counter("sluice_callback_line_groups_total",
                                           "Deliveries made of several ends of a batch's lines");
  m.batches.close_seconds = registry.histogram("sluice_callback_batch_close_seconds",
                                               "Time of making the files of one batch", seconds);
  m.batches.errors = registry.counter("sluice_callback_batch_close_errors_total",
                                      "Closings that failed; each batch comes again");
  return m;
}

}  // namespace sluice::callback
