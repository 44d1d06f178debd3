#include "worker/consumer/metrics.h"

namespace sluice::worker {

WorkerMetrics WorkerMetrics::make(metrics::Registry& registry) {
  const metrics::Buckets& calls = metrics::request_seconds_buckets();
  const metrics::Buckets& work = metrics::work_seconds_buckets();
  WorkerMetrics m;
  m.jobs = registry.counter_family("sluice_worker_jobs_total", "Starts by how they ended", {"outcome"});
  m.deliveries =
      registry.counter_family("sluice_worker_deliveries_total", "Task messages received", {"priority"});
  m.duplicates = registry.counter("sluice_worker_duplicates_total",
                                  "Task messages whose start was made or over already, dropped");
  m.malformed = registry.counter("sluice_worker_malformed_total", "Task messages that could not be read");
  m.given_back =
      registry.counter("sluice_worker_given_back_total", "Task messages returned to their queue unclaimed");
  m.acks = registry.counter("sluice_worker_acks_total", "Task messages acknowledged");
  m.early_acks = registry.counter("sluice_worker_early_acks_total",
                                  "Messages acknowledged before the end of a job that runs for long");
  m.isolated = registry.counter("sluice_worker_isolated_total",
                                "Starts that had the engine to themselves after lost starts");
  m.lost_leases = registry.counter("sluice_worker_lost_leases_total",
                                   "Starts given up because the job was cancelled, expired or rescued");
  m.redis_errors =
      registry.counter("sluice_worker_redis_errors_total", "Failed writes of ended jobs to Redis");
  m.store_errors =
      registry.counter_family("sluice_worker_store_errors_total", "Failed calls of the database", {"call"});
  m.queue_wait_seconds = registry.histogram("sluice_worker_queue_wait_seconds",
                                            "From the acceptance of a job to its claim", work);
  m.place_wait_seconds = registry.histogram("sluice_worker_place_wait_seconds",
                                            "From the claim of a job to its place in the engine", calls);
  m.job_seconds = registry.histogram("sluice_worker_job_seconds", "Time of a job in the engine", work);
  m.claim_seconds = registry.histogram("sluice_worker_claim_seconds", "Time of one claim", calls);
  m.claim_jobs =
      registry.histogram("sluice_worker_claim_jobs", "Jobs in one claim", metrics::power_buckets(9));
  m.finish_seconds =
      registry.histogram("sluice_worker_finish_seconds", "Time of one transaction that ends jobs", calls);
  m.finish_jobs = registry.histogram("sluice_worker_finish_jobs", "Jobs ended by one transaction",
                                     metrics::power_buckets(9));
  m.heartbeat_seconds = registry.histogram("sluice_worker_heartbeat_seconds", "Time of one heartbeat", calls);
  m.answers = registry.counter_family("sluice_worker_answers_total",
                                      "Answers computed, by the precision of the weights", {"precision"});
  m.queue_deep = registry.gauge("sluice_worker_queue_deep",
                                "1 while jobs of adaptive precision are computed with the faster weights");
  m.held_jobs = registry.gauge("sluice_worker_held_jobs", "Jobs that this worker holds a lease for");
  m.draining = registry.gauge("sluice_worker_draining", "1 while an operator has it take nothing new");
  m.live_jobs = registry.gauge("sluice_worker_live_jobs", "Running jobs whose text is told as it comes");
  m.live_entries =
      registry.counter("sluice_worker_live_entries_total", "Pieces of live text written to Redis");
  m.live_errors =
      registry.counter("sluice_worker_live_errors_total", "Failed calls of Redis about live text");
  return m;
}

}  // namespace sluice::worker
