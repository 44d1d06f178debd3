// Ending jobs: results, cancellation, lapsed leases, expiry. All go through write_changes(). And what is left
// of one whose client wants it gone.
#include <algorithm>
#include <unordered_map>

#include "common/base/failpoint.h"
#include "common/store/answer_rows.h"
#include "common/store/job_rows.h"
#include "common/store/mysql_job_store.h"

namespace sluice {

using store::Change;
using store::LockedJob;

namespace {

Change change_for(const Ending& ending, LockedJob& locked, const JobRules& rules) {
  Change change;
  change.locked = &locked;
  if (const auto* succeeded = std::get_if<Succeeded>(&ending.how)) {
    change.to = JobState::kSucceeded;
    change.result = succeeded->result;
  } else if (const auto* failed = std::get_if<Failed>(&ending.how)) {
    if (!failed->permanent) return store::after_failed_start(locked, failed->error, false, rules);
    change.to = JobState::kFailed;
    change.error = failed->error;
  } else {
    change.to = JobState::kQueued;
    change.forgiven = true;
  }
  return change;
}

// The jobs' metadata, which `job` does not hold, for the copies that go to Redis.
Status add_metadata(MysqlConnection& db, std::vector<EndingResult>& results, Deadline deadline) {
  std::unordered_map<std::string_view, Job*> by_id;
  std::vector<std::string_view> ids;
  for (EndingResult& result : results) {
    if (!result.job) continue;
    by_id.emplace(result.job->id.value, &*result.job);
    ids.push_back(result.job->id.value);
  }
  if (ids.empty()) return {};
  Sql sql("SELECT job_id, metadata FROM job_payload WHERE metadata IS NOT NULL AND job_id IN ");
  sql.list(ids);
  SLUICE_ASSIGN(const Rows rows, db.query(sql, deadline));
  for (const Row row : rows) by_id.at(row.text(0))->metadata_json = row.str(1);
  return {};
}

}  // namespace

Result<std::vector<EndingResult>> MysqlJobStore::finish(std::span<const Ending> endings, Deadline deadline) {
  if (endings.empty()) return std::vector<EndingResult>();
  auto results = finish_together(endings, deadline);
  if (results || results.error().code != ErrorCode::kInvalid) return results;
  if (endings.size() == 1) {
    // The database refuses this one's text (too long, say): that will not change, so the job ends as failed.
    Ending refused = endings.front();
    refused.how = Failed{
        JobError{"result_not_storable", "the result was refused by the database: " + results.error().message,
                 "server_error", ""},
        true};
    return finish_together(std::span(&refused, 1), deadline);
  }
  const std::size_t half = endings.size() / 2;
  SLUICE_ASSIGN(std::vector<EndingResult> all, finish(endings.first(half), deadline));
  SLUICE_ASSIGN(std::vector<EndingResult> rest, finish(endings.subspan(half), deadline));
  std::move(rest.begin(), rest.end(), std::back_inserter(all));
  return all;
}

Result<std::vector<EndingResult>> MysqlJobStore::finish_together(std::span<const Ending> endings,
                                                                 Deadline deadline) {
  std::unordered_map<std::string_view, std::size_t> index_of;
  std::vector<std::string_view> ids;
  for (std::size_t i = 0; i < endings.size(); ++i) {
    if (index_of.emplace(endings[i].ref.id.value, i).second) ids.push_back(endings[i].ref.id.value);
  }
  std::sort(ids.begin(), ids.end());
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<std::vector<EndingResult>> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    Sql select(store::kSelectLocked);
    select.text("WHERE id IN ").list(ids).text(" ORDER BY id FOR UPDATE");
    SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
    std::vector<LockedJob> locked;
    locked.reserve(rows.size());
    std::vector<Change> changes;
    std::vector<std::size_t> changed;  // Index of the ending behind each change.
    for (const Row row : rows) {
      locked.push_back(store::read_locked(row));
      LockedJob& job = locked.back();
      const std::size_t index = index_of.at(row.text(0));
      const Ending& ending = endings[index];
      const bool still_ours = job.job.state == JobState::kRunning &&
                              job.job.generation == ending.ref.generation &&
                              job.job.attempt == ending.ref.attempt && job.worker_id == ending.worker_id;
      if (!still_ours) continue;
      changes.push_back(change_for(ending, job, rules_));
      changed.push_back(index);
    }
    std::vector<EndingResult> results(endings.size());
    if (changes.empty()) return results;
    SLUICE_TRY(store::write_changes(db, now, changes, ids_, deadline));
    for (std::size_t i = 0; i < changes.size(); ++i) {
      EndingResult& result = results[changed[i]];
      result.outcome = is_final(changes[i].to) ? EndingOutcome::kEnded : EndingOutcome::kRequeued;
      if (!is_final(changes[i].to)) continue;
      LockedJob& ended = *changes[i].locked;
      result.job = ended.job;
      if (ended.answer_until_us == 0) continue;
      result.answer_key = ended.answer_key;
      result.answer_until_us = ended.answer_until_us;
    }
    SLUICE_TRY(add_metadata(db, results, deadline));
    SLUICE_FAILPOINT("store.finish_before_commit");
    return results;
  });
}

namespace {

Status cancel_locked(MysqlConnection& db, LockedJob& locked, IdMaker& ids, Deadline deadline) {
  if (is_final(locked.job.state)) return {};
  SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
  std::vector<Change> changes(1);
  changes[0].locked = &locked;
  changes[0].to = JobState::kCancelled;
  changes[0].error = JobError{"job_cancelled", "The job was cancelled on request.", "job_error", ""};
  return store::write_changes(db, now, changes, ids, deadline);
}

// The key of the request that made it.
Status free_key(MysqlConnection& db, const JobId& id, Deadline deadline) {
  Sql sql("DELETE FROM idempotency_key WHERE resource_id = ?");
  if (auto freed = db.execute(sql.bind(id.value), deadline); !freed) return fail(freed.error());
  return {};
}

// An empty request is what erased jobs have, and no other.
Status erase_content(MysqlConnection& db, const JobId& id, Deadline deadline) {
  for (const char* statement :
       {"UPDATE job SET erased = 1 WHERE id = ?", "UPDATE job_payload SET request = '' WHERE job_id = ?",
        "UPDATE job_result SET text = '', reasoning_content = NULL, logprobs = NULL WHERE job_id = ?",
        "UPDATE dead_letter SET state = 'discarded', handled_at = UTC_TIMESTAMP(6) WHERE state = 'dead' AND "
        "job_id = ?"}) {
    Sql sql(statement);
    if (auto done = db.execute(sql.bind(id.value), deadline); !done) return fail(done.error());
  }
  return free_key(db, id, deadline);
}

}  // namespace

Result<Job> MysqlJobStore::erase(const TenantId& tenant, const JobId& id, Deadline deadline) {
  const auto write = [&](MysqlConnection& db) -> Result<bool> {
    Sql select(store::kSelectLocked);
    select.text("WHERE id = ? AND tenant_id = ? FOR UPDATE").bind(id.value).bind(tenant.value);
    SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
    Sql look("SELECT 1 FROM job_payload WHERE job_id = ? AND request <> ''");
    SLUICE_ASSIGN(const Rows kept, db.query(look.bind(id.value), deadline));
    if (rows.empty() || kept.empty()) return fail(ErrorCode::kNotFound, "no job with id " + id.value);
    LockedJob locked = store::read_locked(rows.front());
    if (!locked.job.batch_id.empty()) return fail(ErrorCode::kConflict, "the job belongs to a batch");
    SLUICE_TRY(cancel_locked(db, locked, ids_, deadline));
    SLUICE_TRY(store::forget_answer(db, locked, deadline));
    SLUICE_TRY(erase_content(db, id, deadline));
    SLUICE_FAILPOINT("store.erase_before_commit");
    return true;
  };
  auto done = pool_.transaction(deadline, write);
  if (!done && done.error().code == ErrorCode::kOutcomeUnknown) {
    // Doing it again tells: a job that is not there any more was erased by the first try.
    done = pool_.transaction(deadline, write);
    if (!done && done.error().code == ErrorCode::kNotFound) done = true;
  }
  if (!done) return fail(std::move(done).error());
  return get(tenant, id, deadline);
}

Result<Job> MysqlJobStore::cancel(const TenantId& tenant, const JobId& id, Deadline deadline) {
  return cancel_one(tenant, id, false, deadline);
}

Result<Job> MysqlJobStore::cancel_left(const TenantId& tenant, const JobId& id, Deadline deadline) {
  return cancel_one(tenant, id, true, deadline);
}

Result<Job> MysqlJobStore::cancel_one(const TenantId& tenant, const JobId& id, bool frees_key,
                                      Deadline deadline) {
  auto done = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<bool> {
    Sql select(store::kSelectLocked);
    select.text("WHERE id = ? AND tenant_id = ? FOR UPDATE").bind(id.value).bind(tenant.value);
    SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
    if (rows.empty()) return fail(ErrorCode::kNotFound, "no job with id " + id.value);
    LockedJob locked = store::read_locked(rows.front());
    const bool had_ended = is_final(locked.job.state);
    SLUICE_TRY(cancel_locked(db, locked, ids_, deadline));
    if (frees_key && !had_ended) SLUICE_TRY(free_key(db, id, deadline));
    return true;
  });
  // Repeating is safe: a job that is final already stays as it is.
  if (!done && done.error().code != ErrorCode::kOutcomeUnknown) return fail(done.error());
  if (!done) return cancel_one(tenant, id, frees_key, deadline);
  return get(tenant, id, deadline);
}

Result<int> MysqlJobStore::rescue_lapsed(int limit, Deadline deadline) {
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<int> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    Sql select(store::kSelectLocked);
    select.text("WHERE lease_due < ? ORDER BY lease_due LIMIT ? FOR UPDATE SKIP LOCKED")
        .bind(now.text)
        .bind(limit);
    SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
    std::vector<LockedJob> locked;
    locked.reserve(rows.size());
    std::vector<Change> changes;
    for (const Row row : rows) {
      locked.push_back(store::read_locked(row));
      JobError error{"worker_lost", "The worker that ran the job stopped answering.", "server_error", ""};
      if (locked.back().lapsed_starts + 1 >= rules_.poison_lapses_max) {
        error = JobError{"poison", "Each worker that started the job stopped answering.", "server_error", ""};
      }
      changes.push_back(store::after_failed_start(locked.back(), std::move(error), true, rules_));
    }
    SLUICE_TRY(store::write_changes(db, now, changes, ids_, deadline));
    return static_cast<int>(changes.size());
  });
}

Result<int> MysqlJobStore::expire_due(int limit, Deadline deadline) {
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<int> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    Sql select(store::kSelectLocked);
    select.text("WHERE expire_due < ? ORDER BY expire_due LIMIT ? FOR UPDATE SKIP LOCKED")
        .bind(now.text)
        .bind(limit);
    SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
    const JobError error{"job_expired", "The job was not finished before its expires_at.", "job_error", ""};
    return store::end_all(db, now, rows, JobState::kExpired, error, ids_, deadline);
  });
}

Result<int> MysqlJobStore::settle_followers(int limit, Deadline deadline) {
  int settled = 0;
  for (int keys = 0; keys < limit && settled < limit; ++keys) {
    // One key in each transaction: a large one holds up nobody else's, and none waits for two.
    const auto next = [&](MysqlConnection& db) -> Result<std::optional<int>> {
      SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
      return store::settle_next(db, now, ids_, deadline);
    };
    SLUICE_ASSIGN(const std::optional<int> count, pool_.transaction(deadline, next));
    if (!count) break;
    settled += *count;
  }
  return settled;
}

}  // namespace sluice
