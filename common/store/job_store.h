// The record of truth for jobs. Every change is conditional on (state, generation, attempt); whoever finds a
// job changed drops its work. All times are the database's clock.
//
// Safe for concurrent use. Errors of every method: kUnavailable, kDeadline: nothing was done.
// kOutcomeUnknown: a COMMIT's fate could not be read; repeat the call, each is idempotent. kInternal: a
// defect.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ids/ids.h"
#include "common/job/answer.h"
#include "common/job/job.h"
#include "common/store/idempotency_store.h"
#include "common/store/session_store.h"

namespace sluice {

struct JobRules {
  int attempts_max = 5;
  int poison_lapses_max = 3;  // Starts whose lease lapsed before the job counts as poison.
  // From so many on a job is held alone, so that it takes no other with it. A worker is killed for many
  // reasons, so it isn't the first if the last still leaves each job a start alone.
  int suspect_lapses() const { return std::clamp(poison_lapses_max - 1, 1, 2); }
  std::chrono::milliseconds lease{15'000};       // Longer survives slower heartbeats; shorter rescues sooner.
  std::chrono::milliseconds retry_first{1'000};  // Doubles with each failed attempt: 1, 2, 4, 8 s …
  std::chrono::milliseconds retry_max{300'000};
  std::chrono::milliseconds republish_after{
      5'000};  // A published job that is still queued is looked at again.
};

struct NewBatch {
  BatchId id;
  int total = 0;
};

struct NewJob {
  // Given: id, tenant, batch_id, model, priority, surface, metadata_json, callback_url. Filled in by
  // submit(): times, state, leader_id, and the result of a job that ended at once.
  Job job;
  std::string request_json;
  std::int64_t prompt_tokens = 0;
  std::int64_t tokens_max = 0;  // Prompt and completion together: what it may cost.
  std::int64_t expires_in_s = 3600;
  bool publish_reserved =
      false;  // The caller publishes it right after the commit; else the dispatcher's scan does.

  // SHA-256, in hex, of all that decides over the result. Jobs of a tenant with the same one share it: while
  // one of them is at it the others wait for it, and it is given to later ones for `answer_keep_s` seconds.
  // Empty: computed for this job alone.
  std::string answer_key;
  std::int64_t answer_keep_s = 3600;
  bool stale_will_do = false;  // Before it is refused for want of room: a result whose time is over.
  bool may_follow = true;      // False: takes a result that is there, but doesn't wait for another job's.
  // Given: a result that is known already; the job ends with it at once. Filled in by submit() where the
  // database knows one.
  std::optional<Answer> answer;

  // Accepted to be computed: neither ended nor waiting for another's result.
  bool is_to_run() const { return !answer && job.leader_id.empty(); }
};

// What one request asks to be accepted, all or nothing.
struct Submission {
  std::optional<NewBatch> batch;
  std::vector<NewJob> jobs;
  std::optional<IdempotencyClaim> claim;  // Made in the same transaction.
  std::optional<SessionTurn> session;     // Of the only job; moved on in the same transaction.
  // Filled in by submit() when the claim's key is taken: what has it.
  std::optional<IdempotencyRecord> existing;

  const std::string& resource_id() const { return batch ? batch->id.value : jobs.front().job.id.value; }
};

// Names one start of a job: what a broker message carries.
struct TaskRef {
  JobId id;
  std::int64_t generation = 1;
  int attempt = 0;  // Starts so far: a message from before the last start matches no row.
  bool operator==(const TaskRef&) const = default;
};

struct DueTask {
  TaskRef ref;
  TenantId tenant;
  std::int64_t tokens_max = 0;
  std::int64_t expires_in_ms = 0;      // Negative: its time is over.
  std::int64_t published_ms_ago = -1;  // -1: not since its last start.
};

struct DueTenants {
  std::vector<TenantId> tenants;  // In the order of their names.
  std::optional<TenantId> next;   // There may be more after this one.
};

struct ClaimedJob {
  TaskRef ref;  // `attempt` is the number of this start, from 1.
  TenantId tenant;
  std::string model;
  Priority priority = Priority::kNormal;
  std::string request_json;
  std::int64_t prompt_tokens = 0;
  std::int64_t tokens_max = 0;
  int lapsed_starts = 0;  // From JobRules::suspect_lapses() on it is to run alone.
  std::int64_t queued_ms = 0;
};

// How a start ended.
struct Succeeded {
  JobResult result;
};
struct Failed {
  JobError error;
  bool permanent = false;  // The request itself can't succeed: no retry.
};
struct Released {};  // Given back unharmed (drain, no room): does not count as an attempt.

struct Ending {
  TaskRef ref;  // As claimed.
  std::string worker_id;
  std::variant<Succeeded, Failed, Released> how;
};

enum class EndingOutcome {
  kEnded,     // The job is final now; `job` holds it.
  kRequeued,  // It will run again.
  kLost,      // The lease was lost, or the job was cancelled or expired meanwhile: the work is dropped.
};
struct EndingResult {
  EndingOutcome outcome = EndingOutcome::kLost;
  std::optional<Job> job;  // With kEnded.
  // Set if the job's result is for others, too: where it is kept, and until when.
  std::string answer_key;
  std::int64_t answer_until_us = 0;
};

struct JobFilter {
  TenantId tenant;    // Empty = any (for operators).
  BatchId batch_id;   // Empty = any.
  std::string model;  // Empty = any.
  std::optional<JobState> state;
  JobId after;  // Empty = from the newest; lists run from new to old.
  int limit = 20;
  bool with_results = true;  // Without: `result` stays empty. For many jobs, whose results may be large.
};

class JobStore {
 public:
  virtual ~JobStore() = default;

  // --- producer ---
  // Accepts each submission whole or not at all; those of one call share statements and one commit. The
  // answer has one entry for each, in order. kInvalid there: the database refused that one's rows, its
  // neighbours are unharmed. kConflict: the submission's key is taken, and `existing` says by what; without
  // it, that can't be told yet. Or its session's turn was overtaken, and says so.
  virtual std::vector<Status> submit(std::span<Submission> submissions, Deadline deadline) = 0;
  // kNotFound also for a job of another tenant. `tenant` empty: any (for the services themselves).
  virtual Result<Job> get(const TenantId& tenant, const JobId& id, Deadline deadline) = 0;
  // What a job was asked: text of job_request_from_json(). kNotFound as for get(), and once it was erased.
  virtual Result<std::string> get_request(const TenantId& tenant, const JobId& id, Deadline deadline) = 0;
  // The jobs among `ids` that are final.
  virtual Result<std::vector<Job>> get_final(std::span<const JobId> ids, Deadline deadline) = 0;
  virtual Result<std::vector<Job>> list(const JobFilter& filter, Deadline deadline) = 0;
  // The job as it is afterwards; a final job is left as it is.
  virtual Result<Job> cancel(const TenantId& tenant, const JobId& id, Deadline deadline) = 0;
  // The same for a job whose client left: whoever sends the request again wants it done after all. So the key
  // of the request that made it is free if the job was cancelled by this, and stays taken if it had ended.
  virtual Result<Job> cancel_left(const TenantId& tenant, const JobId& id, Deadline deadline) = 0;
  // Takes away for good what a job was asked and what it answered; the rest of its record stays, for the
  // account. One that has not ended is cancelled by this. Nobody can run it again, and the key of the request
  // that made it is free. The job as it is afterwards. kNotFound: also one that was erased before. kConflict:
  // it belongs to a batch, which needs it.
  virtual Result<Job> erase(const TenantId& tenant, const JobId& id, Deadline deadline) = 0;
  // How many jobs wait (queued) for `model` at `priority`, counted up to `count_max`.
  virtual Result<std::int64_t> count_queued(const std::string& model, Priority priority,
                                            std::int64_t count_max, Deadline deadline) = 0;

  // --- dispatcher ---
  // Tenants, of any shard and not paused, with jobs for due_tasks(), after the one named. Costs about one
  // seek for each tenant that is looked at, `limit` at most, however many jobs wait.
  virtual Result<DueTenants> due_tenants(const std::string& model, Priority priority, const TenantId& after,
                                         int limit, Deadline deadline) = 0;
  // Up to `limit` queued jobs of each of `tenants` that should be published now and are not known to the
  // broker: first those that were started before, then the others, each longest due first.
  virtual Result<std::vector<DueTask>> due_tasks(const std::string& model, Priority priority,
                                                 std::span<const TenantId> tenants, int limit,
                                                 Deadline deadline) = 0;
  // Jobs that were published and are still queued after `rules.republish_after`, of tenants that aren't
  // paused.
  virtual Result<std::vector<DueTask>> unstarted_tasks(const std::string& model, Priority priority,
                                                       std::span<const int> shards, int limit,
                                                       Deadline deadline) = 0;
  // They were published (or, with `published` false, need not be yet): look again after
  // `rules.republish_after`. A job that was started since then is left alone.
  virtual Status mark_tasks(std::span<const TaskRef> tasks, bool published, Deadline deadline) = 0;

  // --- worker ---
  // Starts those of `tasks` that are still to be started; the rest is simply absent from the answer.
  virtual Result<std::vector<ClaimedJob>> claim(std::span<const TaskRef> tasks, const std::string& worker_id,
                                                Deadline deadline) = 0;
  // Extends the leases of `held`, the starts that the worker knows of; answers those that it still has (a
  // cancelled or rescued one is absent). A claim whose answer was lost is not in `held` and so lapses by
  // itself.
  virtual Result<std::vector<TaskRef>> heartbeat(const std::string& worker_id, std::span<const TaskRef> held,
                                                 Deadline deadline) = 0;
  // Result, batch counter and event in one transaction for all of `endings`. One answer for each, in order.
  virtual Result<std::vector<EndingResult>> finish(std::span<const Ending> endings, Deadline deadline) = 0;

  // --- rescuer ---
  // Requeues or buries up to `limit` running jobs whose lease lapsed. Answers the number handled.
  virtual Result<int> rescue_lapsed(int limit, Deadline deadline) = 0;
  // Ends up to `limit` jobs whose time is over.
  virtual Result<int> expire_due(int limit, Deadline deadline) = 0;
  // Looks after jobs whose leader ended without them, about `limit` of them. Answers the number that ended or
  // now run by themselves.
  virtual Result<int> settle_followers(int limit, Deadline deadline) = 0;
};

}  // namespace sluice
