// JobStore in memory, on an injected clock, with faults on demand. It passes the same contract suite as the
// MySQL stores (tests/contract/store), so that a test may take it for the real ones: one record of jobs, seen
// through each interface. Safe for concurrent use.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/store/answer_store.h"
#include "common/store/audit_store.h"
#include "common/store/dead_letter_store.h"
#include "common/store/event_store.h"
#include "common/store/fleet_store.h"
#include "common/store/job_store.h"
#include "common/store/operation_store.h"
#include "common/store/session_store.h"

namespace sluice::testing {

class FakeJobStore final : public JobStore,
                           public EventStore,
                           public DeadLetterStore,
                           public OperationStore,
                           public AuditStore,
                           public FleetStore,
                           public IdempotencyStore,
                           public AnswerStore,
                           public SessionStore {
 public:
  // Both must outlive the store.
  FakeJobStore(Clock& clock, IdMaker& ids, JobRules rules = {}, OperationRules operations = {})
      : clock_(clock), ids_(ids), rules_(rules), operation_rules_(operations) {}

  std::vector<Status> submit(std::span<Submission> submissions, Deadline deadline) override;
  Result<Job> get(const TenantId& tenant, const JobId& id, Deadline deadline) override;
  Result<std::string> get_request(const TenantId& tenant, const JobId& id, Deadline deadline) override;
  Result<std::vector<Job>> get_final(std::span<const JobId> ids, Deadline deadline) override;
  Result<std::vector<Job>> list(const JobFilter& filter, Deadline deadline) override;
  Result<Job> cancel(const TenantId& tenant, const JobId& id, Deadline deadline) override;
  Result<Job> cancel_left(const TenantId& tenant, const JobId& id, Deadline deadline) override;
  Result<Job> erase(const TenantId& tenant, const JobId& id, Deadline deadline) override;
  Result<std::int64_t> count_queued(const std::string& model, Priority priority, std::int64_t count_max,
                                    Deadline deadline) override;
  Result<DueTenants> due_tenants(const std::string& model, Priority priority, const TenantId& after,
                                 int limit, Deadline deadline) override;
  Result<std::vector<DueTask>> due_tasks(const std::string& model, Priority priority,
                                         std::span<const TenantId> tenants, int limit,
                                         Deadline deadline) override;
  Result<std::vector<DueTask>> unstarted_tasks(const std::string& model, Priority priority,
                                               std::span<const int> shards, int limit,
                                               Deadline deadline) override;
  Status mark_tasks(std::span<const TaskRef> tasks, bool published, Deadline deadline) override;
  Result<std::vector<ClaimedJob>> claim(std::span<const TaskRef> tasks, const std::string& worker_id,
                                        Deadline deadline) override;
  Result<std::vector<TaskRef>> heartbeat(const std::string& worker_id, std::span<const TaskRef> held,
                                         Deadline deadline) override;
  Result<std::vector<EndingResult>> finish(std::span<const Ending> endings, Deadline deadline) override;
  Result<int> rescue_lapsed(int limit, Deadline deadline) override;
  Result<int> expire_due(int limit, Deadline deadline) override;
  Result<int> settle_followers(int limit, Deadline deadline) override;

  Result<std::optional<Answer>> find_answer(const TenantId& tenant, const std::string& key,
                                            Deadline deadline) override;
  Result<int> forget_answers(int limit, Deadline deadline) override;

  Result<std::vector<DueEvent>> due_events(std::span<const int> shards, int limit,
                                           Deadline deadline) override;
  Status mark_events(std::span<const EventId> events, bool published, Deadline deadline) override;

  Result<std::optional<IdempotencyRecord>> find_key(const TenantId& tenant, const std::string& key_hash,
                                                    Deadline deadline) override;
  Result<std::optional<IdempotencyRecord>> find_request(const TenantId& tenant,
                                                        const std::string& fingerprint, std::int64_t within_s,
                                                        Deadline deadline) override;
  Result<int> forget_expired(int limit, Deadline deadline) override;

  Result<std::optional<SessionRecord>> find_session(const TenantId& tenant, const std::string& session_id,
                                                    Deadline deadline) override;
  Result<int> forget_sessions(int limit, Deadline deadline) override;

  // fake_dead_letters.cpp
  Result<std::vector<DeadLetter>> list_letters(const DeadLetterQuery& query, Deadline deadline) override;
  Result<std::vector<DeadLetterGroup>> group_letters(const DeadLetterFilter& filter, int limit,
                                                     Deadline deadline) override;
  Result<DeadLetterCount> count_letters(const DeadLetterFilter& filter, int redrives_max,
                                        Deadline deadline) override;
  Result<DeadLetterDetail> show_letter(const JobId& id, Deadline deadline) override;
  Result<std::vector<DeadLetterDetail>> expand_letters(std::span<const JobId> ids,
                                                       Deadline deadline) override;
  Status replay_letter(const LetterRef& letter, NewJob& fresh, const Actor& actor, std::string changes_json,
                       Deadline deadline) override;
  Result<std::vector<LetterRef>> due_copies(int limit, Deadline deadline) override;
  Status mark_copies(std::span<const LetterRef> jobs, Deadline deadline) override;

  // fake_operations.cpp
  Result<Operation> start_operation(const NewOperation& asked, const Actor& actor,
                                    Deadline deadline) override;
  Result<Operation> get_operation(const OperationId& id, Deadline deadline) override;
  Result<std::vector<Operation>> list_operations(const OperationFilter& filter, Deadline deadline) override;
  Result<OperationOutcome> operation_outcome(const OperationId& id, Deadline deadline) override;
  Result<Operation> continue_operation(const OperationId& id, const Actor& actor, Deadline deadline) override;
  Result<Operation> cancel_operation(const OperationId& id, const Actor& actor, Deadline deadline) override;
  Result<OperationStep> step_operation(Deadline deadline) override;

  // fake_fleet.cpp
  Result<Pause> set_pause(const Pause& pause, Deadline deadline) override;
  Status resume(PauseKind kind, const std::string& name, const Actor& actor, Deadline deadline) override;
  Result<std::vector<Pause>> list_pauses(Deadline deadline) override;
  Result<bool> beat(const WorkerBeat& beat, Deadline deadline) override;
  Status cancel_job(const JobId& id, const Actor& actor, Deadline deadline) override;
  Status forget_worker(const std::string& id, Deadline deadline) override;
  Result<std::vector<WorkerInfo>> list_workers(Deadline deadline) override;
  Result<WorkerInfo> set_draining(const std::string& id, bool draining, const Actor& actor,
                                  Deadline deadline) override;
  Result<std::vector<WaitingJobs>> waiting_jobs(Deadline deadline) override;
  Result<Overview> overview(Deadline deadline) override;

  Status record(AuditEntry entry, Deadline deadline) override;
  Result<std::vector<AuditEntry>> list_audit(const AuditFilter& filter, Deadline deadline) override;

  // --- for tests ---
  // The next `times` calls of the method named (submit, claim, finish …) fail with `code`. With
  // kOutcomeUnknown the effect happens all the same when `applied` is true.
  void fail_next(const std::string& method, ErrorCode code, int times = 1, bool applied = false);
  int calls(const std::string& method) const;
  // Events in the order in which they were written.
  std::vector<EventRef> events() const;
  // Text that the "database" refuses in results and requests (kInvalid).
  void refuse_text(std::string text);

 private:
  struct Row {
    Job job;
    std::string request_json;
    std::int64_t prompt_tokens = 0;
    std::int64_t tokens_max = 0;
    int shard = 0;
    int forgiven = 0;
    int lapsed = 0;
    std::int64_t publish_due_us = -1;  // -1 = NULL.
    std::int64_t published_us = -1;
    std::int64_t lease_due_us = -1;
    std::string worker_id;
    std::string answer_key;
    bool follows = false;
    std::int64_t lifetime_s = 0;
    std::vector<AttemptRecord> failed_starts;
  };
  struct ClaimedKey {
    std::string tenant;
    IdempotencyClaim claim;
    std::string resource_id;
    std::int64_t made_us = 0;
    std::int64_t expires_us = 0;
  };
  struct AnswerRow {
    JobId leader;
    JobId known;
    std::int64_t keep_s = 0;
    std::int64_t expires_us = -1;  // -1 = NULL.
  };
  struct SessionRow {
    SessionRecord record;
    std::int64_t expires_us = 0;
  };
  struct LetterRow {
    DeadLetter letter;
    bool copy_due = false;
  };
  struct OperationRow {
    Operation operation;
    std::string last_job_id;
    std::int64_t step_due_us = -1;  // -1 = NULL.
  };
  struct EventRow {
    EventRef ref;
    int shard = 0;
    std::int64_t publish_due_us = -1;
    int publishes = 0;
  };
  struct Fault {
    ErrorCode code;
    bool applied;
  };

  std::int64_t now_us() const { return unix_micros(clock_.wall_now()); }
  std::optional<Fault> enter(const std::string& method) REQUIRES(mutex_);
  void end(Row& row, JobState to, std::optional<JobResult> result, std::optional<JobError> error)
      REQUIRES(mutex_);
  Result<Job> cancel_one(const std::string& method, const TenantId& tenant, const JobId& id, bool frees_key)
      REQUIRES(mutex_);
  void requeue(Row& row, std::int64_t run_in_ms) REQUIRES(mutex_);
  // Decides whether a new job leads, follows, or is answered.
  void join_answer(NewJob& fresh) REQUIRES(mutex_);
  // What the end of a leader means for the jobs that follow it.
  void settle_answer(Row& leader) REQUIRES(mutex_);
  // The session stands where the turn's reader found it.
  bool can_go_on(const std::string& tenant, const SessionTurn& turn) const REQUIRES(mutex_);
  bool fail_start(Row& row, JobError error, bool lapsed) REQUIRES(mutex_);  // True: dead.

  void write_letter(const Row& row, const JobError& error, DeadReason reason) REQUIRES(mutex_);
  void note_failed_start(Row& row, const JobError& error) REQUIRES(mutex_);
  bool matches(const DeadLetter& letter, const DeadLetterFilter& filter) const;
  // The job's last letter, or null.
  LetterRow* last_letter(const JobId& id) REQUIRES(mutex_);
  std::optional<DeadLetterDetail> detail(const JobId& id) REQUIRES(mutex_);
  void write_audit(const Actor& actor, std::string action, std::string target, std::string filter_json,
                   std::int64_t count) REQUIRES(mutex_);
  bool is_paused(const Job& job) const REQUIRES(mutex_);
  // Due rows, longest due first; `published` as in job.queue_rank.
  std::vector<const Row*> due_rows(const std::string& model, Priority priority, bool published) const
      REQUIRES(mutex_);
  DueTask due_task(const Row& row) const;
  Result<Operation> change_state(const OperationId& id, OperationState to, const Actor& actor);
  void redrive(LetterRow& letter, Row& row, const Operation& operation) REQUIRES(mutex_);

  Clock& clock_;
  IdMaker& ids_;
  const JobRules rules_;
  const OperationRules operation_rules_;
  mutable Mutex mutex_;
  std::map<std::string, Row> rows_ GUARDED_BY(mutex_);
  std::vector<EventRow> events_ GUARDED_BY(mutex_);
  std::vector<ClaimedKey> keys_ GUARDED_BY(mutex_);
  std::map<std::pair<std::string, std::string>, AnswerRow> answers_ GUARDED_BY(mutex_);  // By tenant, key.
  std::map<std::pair<std::string, std::string>, SessionRow> sessions_
      GUARDED_BY(mutex_);  // By tenant, session.
  std::map<std::pair<std::string, std::int64_t>, LetterRow> letters_
      GUARDED_BY(mutex_);  // By job, generation.
  std::map<std::string, OperationRow> operations_ GUARDED_BY(mutex_);
  std::vector<AuditEntry> audit_ GUARDED_BY(mutex_);
  std::map<std::pair<PauseKind, std::string>, Pause> pauses_ GUARDED_BY(mutex_);
  std::map<std::string, WorkerInfo> workers_ GUARDED_BY(mutex_);
  std::map<std::string, std::deque<Fault>> faults_ GUARDED_BY(mutex_);
  std::map<std::string, int> calls_ GUARDED_BY(mutex_);
  std::vector<std::string> refused_ GUARDED_BY(mutex_);
};

}  // namespace sluice::testing
