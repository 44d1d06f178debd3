// What the callback service counts; docs/metrics.md lists it. Copies share the series, which live as long as
// the registry. Every label value is there from the start, so that a rate over it is right from the first
// event on.
#pragma once

#include "common/metrics/metrics.h"

namespace sluice::callback {

struct IntakeMetrics {
  metrics::CounterFamily
      events;  // outcome: delivery, waiting, no_receiver, duplicate, unknown, malformed, refused
  metrics::Histogram batch_events;
  metrics::Histogram decide_seconds;
  metrics::Counter errors;
};

struct CourierMetrics {
  metrics::CounterFamily deliveries;  // outcome: delivered, failed, given_up
  metrics::CounterFamily attempts;    // outcome: success, status_3xx …, timeout, connect …
  metrics::Histogram attempt_seconds;
  metrics::Counter claimed;
  metrics::Counter lost;
  metrics::Counter put_back;
  metrics::CounterFamily store_errors;  // call: look, claim, record, give_up
  metrics::Gauge under_way;
  metrics::Gauge resting;
};

struct BacklogMetrics {
  metrics::Gauge pending;
  metrics::Gauge oldest_due_seconds;
  metrics::Gauge disabled_endpoints;
};

struct BatchMetrics {
  metrics::CounterFamily closed;  // status: completed, expired, cancelled, failed
  metrics::CounterFamily lines;   // file: output, error
  metrics::Counter line_groups;
  metrics::Histogram close_seconds;
  metrics::Counter errors;
};

struct CallbackMetrics {
  IntakeMetrics intake;
  CourierMetrics courier;
  BacklogMetrics backlog;
  BatchMetrics batches;
};

CallbackMetrics make_callback_metrics(metrics::Registry& registry);

}  // namespace sluice::callback
