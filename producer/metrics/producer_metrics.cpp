#include "producer/metrics/producer_metrics.h"

namespace sluice::producer {

ProducerMetrics make_producer_metrics(metrics::Registry& r, const std::string& region) {
  ProducerMetrics m;
  r.gauge("sluice_producer_info", "Always 1; says what this producer is",
          {{"version", SLUICE_VERSION}, {"region", region}})
      .set(1);
  m.api.accepted =
      r.counter_family("sluice_producer_jobs_accepted_total", "Jobs whose rows are committed", {"priority"});
  m.api.rejected = r.counter_family("sluice_producer_submissions_rejected_total",
                                    "Requests to submit that were refused", {"reason"});
  m.api.job_reads = r.counter_family("sluice_producer_job_reads_total", "Jobs read for clients", {"source"});
  m.api.key_checks = r.counter_family("sluice_producer_key_checks_total", "API keys looked at", {"result"});
  m.api.queued = r.gauge_family("sluice_producer_jobs_queued",
                                "Jobs that wait, as admission last counted them", {"model", "priority"});
  m.api.early_headers = r.counter("sluice_producer_early_headers_total",
                                  "Completions whose header went out before their job ended");
  m.api.slow_readers = r.counter("sluice_producer_slow_readers_total",
                                 "Streamed answers broken off, since their clients read too slowly");
  m.api.repeated = r.counter_family("sluice_producer_repeated_requests_total",
                                    "Requests that had been made before", {"by"});
  m.api.left_jobs = r.counter_family("sluice_producer_left_jobs_total",
                                     "Jobs that were to be cancelled since their clients left", {"outcome"});

  m.guard.checks = r.counter_family("sluice_producer_limit_checks_total",
                                    "Requests that fell under a rate limit", {"unit", "result", "by"});

  m.cache.answers =
      r.counter_family("sluice_producer_answers_total",
                       "Accepted jobs that may share a result, by where theirs comes from", {"result"});
  m.cache.lookups = r.counter_family("sluice_producer_answer_lookups_total",
                                     "Results found before a job was written, by where", {"found"});

  m.submit.waiting = r.gauge("sluice_producer_submit_waiting", "Submissions that wait for a transaction");
  m.submit.commit_seconds = r.histogram("sluice_producer_submit_commit_seconds",
                                        "Transactions that accept jobs", metrics::request_seconds_buckets());
  m.submit.commit_rows = r.histogram("sluice_producer_submit_commit_jobs", "Jobs accepted by one transaction",
                                     metrics::power_buckets(15));

  m.dispatch.published = r.counter_family("sluice_producer_dispatch_published_total",
                                          "Task messages confirmed by the broker", {"path", "priority"});
  m.dispatch.failed = r.counter_family("sluice_producer_dispatch_failed_total",
                                       "Task messages that the broker did not confirm", {"reason"});
  m.dispatch.deferred = r.counter("sluice_producer_dispatch_deferred_total",
                                  "Due jobs left alone because their message is still on its way");
  m.dispatch.queue_ready =
      r.gauge_family("sluice_producer_queue_ready", "Messages ready in a task queue", {"model", "priority"});
  m.dispatch.backlog =
      r.gauge_family("sluice_producer_backlog", "1 while jobs wait in the database for room in their queue",
                     {"model", "priority"});
  m.dispatch.tenants_waiting = r.gauge_family(
      "sluice_producer_tenants_waiting",
      "Tenants of this producer's shards whose jobs wait for room in their queue", {"model", "priority"});
  m.dispatch.shards_owned = r.gauge("sluice_producer_shards_owned", "Shards whose loops this producer runs");

  m.loops.events_published =
      r.counter("sluice_producer_relay_published_total", "Events confirmed by the broker");
  m.loops.events_deferred = r.counter("sluice_producer_relay_deferred_total",
                                      "Due events left alone because their message is still on its way");
  m.loops.events_failed = r.counter_family("sluice_producer_relay_failed_total",
                                           "Events that the broker did not confirm", {"reason"});
  m.loops.events_due = r.gauge("sluice_producer_relay_due", "Events that the relay's last look found due");
  m.loops.rescued = r.counter("sluice_producer_jobs_rescued_total", "Starts whose lease lapsed");
  m.loops.expired = r.counter("sluice_producer_jobs_expired_total", "Jobs ended because their time was over");
  m.loops.returned_drained = r.counter("sluice_producer_returned_drained_total",
                                       "Messages past the broker's delivery limit that were taken away");
  m.loops.letters_moved = r.counter_family("sluice_producer_dead_letters_moved_total",
                                           "Dead letters moved by operations of this producer", {"how"});
  m.loops.loop_failures = r.counter_family("sluice_producer_loop_failures_total",
                                           "Runs of a background loop that failed", {"loop"});
  // There from the start, so that an alert sees the first rise.
  for (const char* loop : {"relay", "rescuer", "batches"}) m.loops.loop_failures.with({loop}).add(0);

  m.wait.waiters = r.gauge("sluice_producer_waiters", "Requests that wait for a job to end");
  m.files.uploads =
      r.counter_family("sluice_producer_uploads_total", "Uploads of files that are over", {"outcome"});
  m.files.upload_refusals =
      r.counter_family("sluice_producer_upload_refusals_total", "Uploads that were refused", {"reason"});
  m.files.upload_bytes = r.counter("sluice_producer_upload_bytes_total", "Bytes of uploads' bodies");
  m.files.uploads_running = r.gauge("sluice_producer_uploads_running", "Uploads of files that are under way");
  m.files.content_bytes =
      r.counter("sluice_producer_file_content_bytes_total", "Bytes of files read for clients");
  m.files.lapsed =
      r.counter_family("sluice_producer_files_lapsed_total", "Files given up by the sweep", {"why"});
  m.files.swept = r.counter("sluice_producer_files_swept_total", "Files whose last chunk was taken away");
  m.files.chunks_swept = r.counter("sluice_producer_file_chunks_swept_total", "Chunks of files taken away");

  m.wait.resolved = r.counter_family("sluice_producer_waits_total", "Waits that are over", {"by"});

  m.live.watchers = r.gauge("sluice_producer_live_watchers", "Who reads along with a job");
  m.live.jobs = r.gauge("sluice_producer_live_jobs", "Jobs that somebody reads along with");
  m.live.entries = r.counter("sluice_producer_live_entries_total", "Pieces of live text read from Redis");
  m.live.mismatches = r.counter("sluice_producer_live_mismatches_total",
                                "Watchers who were told what a later attempt did not say");
  m.live.redis_errors =
      r.counter("sluice_producer_live_redis_errors_total", "Failed calls of Redis about live text");
  return m;
}

}  // namespace sluice::producer
