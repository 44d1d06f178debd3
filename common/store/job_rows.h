// Internal to the MySQL store: how rows of `job` are read, and how a job's end is written.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids/ids.h"
#include "common/job/job.h"
#include "common/mysql/mysql.h"
#include "common/store/job_store.h"

namespace sluice::store {

// A DATETIME column as microseconds since 1970, NULL as 0.
#define SLUICE_MICROS(column) "COALESCE(CAST(UNIX_TIMESTAMP(" column ") * 1000000 AS SIGNED), 0)"

// The database's clock: as a literal for the statements of one transaction, and as microseconds.
struct DbNow {
  std::string text;
  std::int64_t us = 0;
};
Result<DbNow> db_now(MysqlConnection& db, Deadline deadline);

// For columns in which NULL says that there is no text. Borrows it, for a statement: that writes down at once
// what it is given.
inline std::optional<std::string_view> null_if_empty(std::string_view text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

// Runs a DELETE … LIMIT in a transaction of its own. Answers how many rows went.
Result<int> delete_some(MysqlPool& pool, const Sql& sql, Deadline deadline);

// Column `state` of `job`.
JobState read_state(std::string_view name);

// SELECT list and FROM clause of a whole public job, in the order that read_job expects.
extern const char* const kSelectJob;
Job read_job(const Row& row);

// A job whose row this transaction has locked.
struct LockedJob {
  Job job;
  int shard = 0;
  int attempts_max = 0;
  int attempts_forgiven = 0;
  int lapsed_starts = 0;
  std::string worker_id;
  std::string started_text;  // When the last start began, as the database writes it.
  std::string answer_key;    // Of NewJob; empty = none.
  // Set by write_changes(): until when the result of a job that ended well is given to others; 0 = it isn't.
  std::int64_t answer_until_us = 0;

  // Starts that count against attempts_max.
  int attempts_used() const { return job.attempt - attempts_forgiven; }
};
extern const char* const kSelectLocked;
LockedJob read_locked(const Row& row);

// What is to become of one locked job.
struct Change {
  LockedJob* locked = nullptr;
  JobState to = JobState::kQueued;
  std::optional<JobResult> result;  // kSucceeded
  std::optional<JobError>
      error;  // The other final states; for kQueued, why the start ended (recorded), if it failed.
  std::int64_t run_in_ms = 0;         // kQueued: from now.
  bool forgiven = false;              // kQueued: the start does not count.
  bool lapsed = false;                // The start's lease lapsed.
  const char* dead_reason = nullptr;  // kDead: attempts | poison.
};

// Writes all changes inside the caller's transaction: results, states, attempts, dead letters, events, what
// becomes of the jobs that wait for a result of these, and last the batch counters. Afterwards `locked->job`
// is the job as it now is.
Status write_changes(MysqlConnection& db, const DbNow& now, std::vector<Change>& changes, IdMaker& ids,
                     Deadline deadline);

// Ends all jobs of `rows` (of kSelectLocked, none of them final) alike, as write_changes() does. The answer:
// how many.
Result<int> end_all(MysqlConnection& db, const DbNow& now, const Rows& rows, JobState to,
                    const JobError& error, IdMaker& ids, Deadline deadline);

// What becomes of a start that failed for a passing reason: another try later, or dead.
Change after_failed_start(LockedJob& locked, JobError error, bool lapsed, const JobRules& rules);

// The same for errors that differ only by numbers and ids in their messages: 16 hex digits.
std::string error_fingerprint(const std::string& code, const std::string& message);

// Batch, job and payload rows of new jobs, inside the caller's transaction, in statements of bounded size. A
// job with a leader has no rank in the queue.
Status insert_submissions(MysqlConnection& db, const DbNow& now, std::span<const Submission> submissions,
                          const JobRules& rules, Deadline deadline);

}  // namespace sluice::store
