#include "producer/main/config.h"

#include "common/crypto/crypto.h"
#include "common/mysql/settings.h"
#include "common/rabbitmq/settings.h"
#include "common/redis/settings.h"
#include "common/store/settings.h"

namespace sluice::producer {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

void bind_intake(config::Settings& settings, ProducerConfig& config) {
  settings
      .add("queued-max", config.admission.queued_max,
           "Jobs that may wait for one model and class; more are refused; 0 = no limit")
      .range(0, std::int64_t{1} << 40);
  settings
      .add("tenant-queued-jobs-max", config.admission.tenant_jobs_max,
           "Jobs of one tenant that may wait; more are refused; 0 = no limit")
      .range(0, std::int64_t{1} << 40);
  settings
      .add("tenant-queued-tokens-max", config.admission.tenant_tokens_max,
           "The same in tokens that they may cost, prompts and longest answers")
      .range(0, std::int64_t{1} << 50);
  settings.add("refuse-late", config.admission.refuse_late,
               "Refuse jobs that would expire before they end, as it looks now");
  settings.add("answer-cache", config.answers.enabled,
               "Equal requests of a tenant are computed once, and share the result");
  settings
      .add("answer-keep", config.answers.keep,
           "How long a result is given to equal requests; 0 = only to those that came while it was computed")
      .range(seconds(0), hours(24 * 30));
  settings
      .add_size("answer-cache-bytes", config.answers.bytes_max,
                "Results that this process keeps at hand; the others are in Redis and the database")
      .range(0, std::size_t{1} << 40);
  settings.add("answer-revision", config.answers.revision,
               "Change it when the workers answer differently for a reason that the model's file doesn't "
               "show: earlier results are not given any more");
  settings
      .add("limits-read", config.limits.read_every,
           "How often the rate limits are read: a change is in force everywhere after this")
      .range(milliseconds(100), hours(1));
  settings
      .add("limits-tighten-wait", config.guard.tighten_wait,
           "Rate limits shrink while a job is predicted to wait for longer than this; 0 = they don't")
      .range(milliseconds(0), hours(24));
  settings
      .add("api-key-remember", config.authenticator.remember,
           "How long a key that was looked up is trusted: a revoked one works for this long")
      .range(milliseconds(0), hours(1));
  settings
      .add("api-key-outage-grace", config.authenticator.outage_grace,
           "While the database is down, keys that were good this long ago still are")
      .range(milliseconds(0), hours(24));
  settings
      .add("submit-committers", config.coalescer.committers,
           "Transactions that accept jobs at a time: more overlap, fewer merge more requests")
      .range(1, 64);
  settings
      .add("submit-rows-max", config.coalescer.commit_rows_max,
           "Jobs in one transaction, unless one request alone has more")
      .range(1, 100'000);
  settings
      .add("submit-waiting-max", config.coalescer.queue_submissions_max,
           "Requests that may wait for a transaction; more are refused")
      .range(1, 1'000'000);
  settings
      .add_size("submit-waiting-bytes-max", config.coalescer.queue_bytes_max,
                "The same in bytes of their rows")
      .range(1 << 20, std::size_t{1} << 40);
  settings
      .add("submit-timeout", config.coalescer.submit_timeout,
           "Longest that a request may take to be written before it is refused")
      .range(milliseconds(100), seconds(60));
  settings.add("waiters-max", config.wait.waiters_max, "Requests that may wait for a job to end")
      .range(1, 1'000'000);
  settings
      .add("early-headers", config.completions.early_headers,
           "A client that waits longer for its completion gets the header, then white space until it ends")
      .range(milliseconds(0), hours(1));
  settings
      .add("completion-wait-max", config.completions.longest,
           "Longest that a request stays open for its completion; the job goes on without it")
      .range(seconds(1), hours(24 * 7));
  settings
      .add("session-ttl", config.sessions.keep,
           "How long a session is known after its last turn was accepted: then its conversation begins anew")
      .range(seconds(1), hours(24 * 30));
  settings
      .add("wait-poll", config.wait.poll_every,
           "How often all awaited jobs are looked up, should their events be lost")
      .range(milliseconds(10), seconds(60));
  settings.add("live-watchers-max", config.live.watchers_max, "Clients that may read along with running jobs")
      .range(1, 1'000'000);
  settings
      .add("live-read-every", config.live.read_every,
           "How often the text of watched jobs is read: less often is less smooth, and cheaper")
      .range(milliseconds(1), seconds(10));
}

void bind_loops(config::Settings& settings, ProducerConfig& config) {
  settings
      .add("dispatch-depth", config.dispatcher.depth,
           "Most messages kept in a task queue: more keeps fast workers busier")
      .range(1, 1'000'000);
  settings
      .add("dispatch-depth-min", config.dispatcher.depth_min,
           "Messages kept in a task queue while they are enough for the workers: fewer keep tenants and "
           "classes sharper")
      .range(1, 1'000'000);
  settings
      .add("dispatch-share-tokens", config.dispatcher.share_tokens,
           "Tokens that one turn gives each tenant that waits: fewer mix tenants more finely")
      .range(1, 10'000'000);
  settings.add("dispatch-scan", config.dispatcher.scan_every, "How often to look for jobs that became due")
      .range(milliseconds(5), seconds(60));
  settings
      .add("dispatch-lost-after", config.dispatcher.lost_after,
           "A queued job whose message is older is published again, whatever its queue holds")
      .range(seconds(1), hours(24));
  settings.add("relay-poll", config.relay.poll_every, "How often to look for events to publish")
      .range(milliseconds(5), seconds(60));
  settings
      .add("rescue-every", config.rescuer.look_every,
           "How often to look for lapsed leases and jobs whose time is over")
      .range(milliseconds(10), seconds(60));
  settings
      .add("redrives-max", config.operations.redrives_max,
           "A job that was redriven this often and died again is redriven only by force")
      .range(0, 1'000);
  settings
      .add("dead-mirror-compact-every", config.dead_mirror.compact_every,
           "At least this long between two passes that take handled letters off the queue tasks.dead")
      .range(milliseconds(50), seconds(3600));
  settings
      .add("operation-step-max", config.operations.step_max,
           "Dead letters that one transaction moves: more are moved faster, fewer hold locks for less time")
      .range(1, 1'000);
  settings
      .add("batch-step-lines", config.batch_loop.step_lines,
           "Lines of a batch's file that one transaction makes into jobs: more go in faster, fewer hold up "
           "the ends "
           "of those that run for less time")
      .range(1, 5'000);
  settings
      .add("batch-checks", config.batch_loop.checks_max,
           "Files of batches that are checked in turns; further ones wait")
      .range(1, 64);
  settings
      .add("shard-lease", config.shards.lease,
           "After this another producer takes over the loops of one that is gone")
      .range(seconds(2), seconds(300));
  settings.add_check([&config]() -> Status {
    config.shards.renew_every = config.shards.lease * 3 / 10;
    config.dispatcher.fresh_retry = config.rules.republish_after;
    config.relay.due_again_after = config.rules.republish_after * 9 / 10;
    return {};
  });
}

void bind_files(config::Settings& settings, ProducerConfig& config) {
  settings
      .add_size("file-bytes-max", config.files.upload.bytes_max,
                "Largest file that may be uploaded; it lies in the database, in chunks of 1 MiB")
      .range(1, std::size_t{8} << 30);
  settings
      .add("file-batch-lines-max", config.files.upload.batch_lines_max,
           "Lines that a file for a batch may have; blank ones don't count")
      .range(1, 10'000'000);
  settings
      .add("files-uploads-max", config.files.uploads_max,
           "Uploads at a time, each of which may hold 3 MiB; more are refused")
      .range(1, 10'000);
  settings
      .add("files-uploads-of-tenant-max", config.files.uploads_of_tenant_max,
           "The same of one tenant, so that none takes all")
      .range(1, 10'000);
  settings
      .add("files-unfinished-after", config.file_rules.unfinished_after,
           "An unfinished upload that was silent for this long is swept")
      .range(seconds(1), seconds(30 * 86'400));
  settings
      .add("files-sweep-every", config.file_sweeper.look_every,
           "How often to look for files whose chunks can be taken away")
      .range(milliseconds(10), hours(1));
}

}  // namespace

void bind(config::Settings& settings, ProducerConfig& config) {
  config.rabbitmq.connection_name = "sluice-producer";
  config.mysql.connections_max = 24;  // Handlers, committers and loops.
  settings.add_enum("log-level", config.log_level,
                    {{"debug", LogLevel::kDebug},
                     {"info", LogLevel::kInfo},
                     {"warn", LogLevel::kWarn},
                     {"error", LogLevel::kError}},
                    "Least important lines that are logged");
  settings.add("region", config.region, "Where this producer runs, for logs and metrics");
  settings.add("master-key", config.master_key,
               "Base64 of 32 bytes: seals the secrets of webhook endpoints; see -file");
  settings.add_enum(
      "engine", config.engine, {{"native", EngineKind::kNative}, {"echo", EngineKind::kEcho}},
      "What the workers compute with; echo answers with the prompt, for tests and measurements");
  settings.add("docs-viewer", config.docs_viewer, "Folder where swagger-ui-dist was installed, for /docs");
  settings.add("print-routes", config.print_routes, "Print every route that would be served, and end");
  settings.add("model", config.model, "The model file that the workers serve");
  settings.add_check([&config]() -> Status {
    if (config.master_key.reveal().empty()) return {};
    const auto sealer = Sealer::make(config.master_key);
    return sealer ? Status() : fail(ErrorCode::kInvalid, "master-key: must be base64 of 32 bytes");
  });
  settings.add_check([&config]() -> Status {
    if (config.engine == EngineKind::kNative && config.model.empty()) {
      return fail(ErrorCode::kInvalid, "model: must name a file, unless engine is echo");
    }
    return {};
  });
  bind_intake(settings, config);
  bind_loops(settings, config);
  bind_files(settings, config);
  bind(settings, config.rules);
  bind(settings, config.mysql);
  bind(settings, config.rabbitmq);
  bind(settings, config.redis);
  http::bind(settings, config.http);
}

}  // namespace sluice::producer
