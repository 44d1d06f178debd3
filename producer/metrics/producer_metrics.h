// The producer's own metrics. The handles count nothing until they are made by make_producer_metrics(), so
// tests may leave them out. Copy freely; valid as long as the registry.
#pragma once

#include <string>

#include "common/metrics/metrics.h"

namespace sluice::producer {

struct ApiMetrics {
  metrics::CounterFamily accepted;    // priority
  metrics::CounterFamily rejected;    // reason
  metrics::CounterFamily job_reads;   // source: redis, mysql
  metrics::CounterFamily key_checks;  // result: hit, miss, stale, refused, failed
  metrics::GaugeFamily queued;        // model, priority
  metrics::Counter early_headers;
  metrics::Counter slow_readers;
  metrics::CounterFamily repeated;   // by: key, retry, other, unsettled
  metrics::CounterFamily left_jobs;  // outcome: cancelled, ended, given_up
};

struct GuardMetrics {
  metrics::CounterFamily checks;  // unit: requests, tokens; result: allowed, refused; by: redis, process
};

struct CacheMetrics {
  metrics::CounterFamily answers;  // result: hit, coalesced, miss, stale; of jobs that may share one
  metrics::CounterFamily lookups;  // found: process, redis, stale
};

struct SubmitMetrics {
  metrics::Gauge waiting;
  metrics::Histogram commit_seconds;
  metrics::Histogram commit_rows;
};

struct DispatchMetrics {
  metrics::CounterFamily published;  // path: fresh, scan, republish; priority
  metrics::CounterFamily failed;     // reason
  metrics::Counter deferred;
  metrics::GaugeFamily queue_ready;      // model, priority
  metrics::GaugeFamily backlog;          // model, priority
  metrics::GaugeFamily tenants_waiting;  // model, priority
  metrics::Gauge shards_owned;
};

struct LoopMetrics {
  metrics::Counter events_published;
  metrics::Counter events_deferred;
  metrics::CounterFamily events_failed;  // reason
  metrics::Gauge events_due;
  metrics::Counter rescued;
  metrics::Counter expired;
  metrics::Counter returned_drained;
  metrics::CounterFamily letters_moved;  // how: redriven, discarded
  metrics::CounterFamily loop_failures;  // loop
};

struct WaitMetrics {
  metrics::Gauge waiters;
  metrics::CounterFamily resolved;  // by: event, poll, read, timeout, left, stop
};

struct FileMetrics {
  metrics::CounterFamily uploads;          // outcome: stored, refused, aborted
  metrics::CounterFamily upload_refusals;  // reason
  metrics::Counter upload_bytes;
  metrics::Gauge uploads_running;
  metrics::Counter content_bytes;
  metrics::CounterFamily lapsed;  // why: unfinished, expired
  metrics::Counter swept;
  metrics::Counter chunks_swept;
};

struct LiveMetrics {
  metrics::Gauge watchers;
  metrics::Gauge jobs;
  metrics::Counter entries;
  metrics::Counter mismatches;
  metrics::Counter redis_errors;
};

struct ProducerMetrics {
  ApiMetrics api;
  GuardMetrics guard;
  CacheMetrics cache;
  SubmitMetrics submit;
  DispatchMetrics dispatch;
  LoopMetrics loops;
  WaitMetrics wait;
  FileMetrics files;
  LiveMetrics live;
};

// `region` is where this producer runs.
ProducerMetrics make_producer_metrics(metrics::Registry& registry, const std::string& region);

}  // namespace sluice::producer
