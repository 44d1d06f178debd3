// What a worker counts about its jobs; docs/metrics.md lists them. Copies share the series.
#pragma once

#include "common/metrics/metrics.h"

namespace sluice::worker {

struct WorkerMetrics {
  static WorkerMetrics make(metrics::Registry& registry);

  metrics::CounterFamily jobs;        // {outcome}: a final state, retried, released, lost, refused.
  metrics::CounterFamily deliveries;  // {priority}
  metrics::Counter duplicates;        // Messages whose start was made or over already.
  metrics::Counter malformed;
  metrics::Counter given_back;  // Messages returned to their queue unclaimed.
  metrics::Counter acks;
  metrics::Counter early_acks;  // Of jobs that ran for longer than the broker waits.
  metrics::Counter isolated;    // Starts that had the engine to themselves.
  metrics::Counter lost_leases;
  metrics::Counter redis_errors;
  metrics::CounterFamily store_errors;  // {call}: claim, finish, heartbeat, presence, count.
  metrics::Histogram queue_wait_seconds;
  metrics::Histogram place_wait_seconds;
  metrics::Histogram job_seconds;
  metrics::Histogram claim_seconds;
  metrics::Histogram claim_jobs;
  metrics::Histogram finish_seconds;
  metrics::Histogram finish_jobs;
  metrics::Histogram heartbeat_seconds;
  metrics::Gauge held_jobs;
  metrics::CounterFamily answers;  // {precision}: of the weights.
  metrics::Gauge queue_deep;       // 1 while jobs that allow it go to the faster weights.
  metrics::Gauge draining;
  metrics::Gauge live_jobs;  // Running jobs that somebody reads along with.
  metrics::Counter live_entries;
  metrics::Counter live_errors;
};

}  // namespace sluice::worker
