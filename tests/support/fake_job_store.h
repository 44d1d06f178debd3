// JobStore in memory, on an injected clock, with faults on demand. It passes the same contract suite as the
// MySQL store (tests/contract/store), so that a test may take it for the real one. Safe for concurrent use.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/store/event_store.h"
#include "common/store/job_store.h"

namespace sluice::testing {

class FakeJobStore final : public JobStore, public EventStore {
 public:
  // Both must outlive the store.
  FakeJobStore(Clock& clock, IdMaker& ids, JobRules rules = {}) : clock_(clock), ids_(ids), rules_(rules) {}

  std::vector<Status> submit(std::span<Submission> submissions, Deadline deadline) override;
  Result<Job> get(const TenantId& tenant, const JobId& id, Deadline deadline) override;
  Result<std::vector<Job>> get_final(std::span<const JobId> ids, Deadline deadline) override;
  Result<std::vector<Job>> list(const JobFilter& filter, Deadline deadline) override;
  Result<Job> cancel(const TenantId& tenant, const JobId& id, Deadline deadline) override;
  Result<std::int64_t> count_queued(const std::string& model, Priority priority, std::int64_t count_max,
                                    Deadline deadline) override;
  Result<std::vector<DueTask>> due_tasks(const std::string& model, Priority priority,
                                         std::span<const int> shards, int limit, Deadline deadline) override;
  Status mark_tasks(std::span<const TaskRef> tasks, bool published, Deadline deadline) override;
  Result<std::vector<ClaimedJob>> claim(std::span<const TaskRef> tasks, const std::string& worker_id,
                                        Deadline deadline) override;
  Result<std::vector<TaskRef>> heartbeat(const std::string& worker_id, std::span<const TaskRef> held,
                                         Deadline deadline) override;
  Result<std::vector<EndingResult>> finish(std::span<const Ending> endings, Deadline deadline) override;
  Result<int> rescue_lapsed(int limit, Deadline deadline) override;
  Result<int> expire_due(int limit, Deadline deadline) override;

  Result<std::vector<DueEvent>> due_events(std::span<const int> shards, int limit,
                                           Deadline deadline) override;
  Status mark_events(std::span<const EventId> events, bool published, Deadline deadline) override;

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
  void requeue(Row& row, std::int64_t run_in_ms) REQUIRES(mutex_);
  bool fail_start(Row& row, JobError error, bool lapsed) REQUIRES(mutex_);  // True: dead.

  Clock& clock_;
  IdMaker& ids_;
  const JobRules rules_;
  mutable Mutex mutex_;
  std::map<std::string, Row> rows_ GUARDED_BY(mutex_);
  std::vector<EventRow> events_ GUARDED_BY(mutex_);
  std::map<std::string, std::deque<Fault>> faults_ GUARDED_BY(mutex_);
  std::map<std::string, int> calls_ GUARDED_BY(mutex_);
  std::vector<std::string> refused_ GUARDED_BY(mutex_);
};

}  // namespace sluice::testing
