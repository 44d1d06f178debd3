// One step of an operation: a few letters moved, and counted, in one transaction.
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "common/base/failpoint.h"
#include "common/store/audit_rows.h"
#include "common/store/batch_rows.h"
#include "common/store/dead_letter_rows.h"
#include "common/store/mysql_operation_store.h"
#include "common/store/operation_rows.h"

namespace sluice {

using store::LockedJob;

namespace {

// Steps of a limited operation are this far apart: often enough that progress shows, seldom enough to be
// cheap.
constexpr double kStepSeconds = 0.5;
// The longest pause between steps, however low the rate.
constexpr double kPauseSecondsMax = 3'600;
// What is left of a step's time to put the operation off, should the step fail.
constexpr std::chrono::seconds kPutOffTime{2};
constexpr int kPutOffSeconds = 30;
constexpr std::size_t kLastErrorBytesMax = 500;

// What a redrive may still take before it waits for its canary's verdict.
int canary_left(const Operation& operation, int wanted) {
  if (!operation.asked.canary) return wanted;
  const std::int64_t left = *operation.asked.canary - operation.handled;
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, wanted));
}

int step_letters(const Operation& operation, int step_max) {
  int letters = step_max;
  if (operation.asked.rate_max) {
    letters = static_cast<int>(
        std::clamp(std::ceil(*operation.asked.rate_max * kStepSeconds), 1.0, double(step_max)));
  }
  return canary_left(operation, letters);
}

// What a job of this letter was given to finish in: told by the last redrive, or by its submission.
Result<std::unordered_map<std::string, std::int64_t>> earlier_lifetimes(MysqlConnection& db,
                                                                        const std::vector<LockedJob>& jobs,
                                                                        Deadline deadline) {
  std::vector<std::string_view> ids;
  for (const LockedJob& job : jobs) ids.push_back(job.job.id.value);
  Sql sql("SELECT job_id, expires_in_s FROM dead_letter WHERE expires_in_s IS NOT NULL AND job_id IN ");
  sql.list(ids).text(" ORDER BY generation");
  SLUICE_ASSIGN(const Rows rows, db.query(sql, deadline));
  std::unordered_map<std::string, std::int64_t> lifetimes;
  for (const Row row : rows) lifetimes[row.str(0)] = row.int64(1);
  return lifetimes;
}

}  // namespace

struct MysqlOperationStore::Progress {
  int looked_at = 0;
  int handled = 0;
  int guarded = 0;
  int skipped = 0;
  bool exhausted = false;  // No letter is left.
  std::string last_job_id;
};

Result<OperationStep> MysqlOperationStore::step_operation(Deadline deadline) {
  OperationId stepping;
  const Deadline step_deadline(deadline.at() - kPutOffTime);
  // Asked several times a second by every producer, mostly for nothing: without a transaction first.
  SLUICE_ASSIGN(
      const Rows due,
      pool_.query(Sql("SELECT 1 FROM operation WHERE step_due <= UTC_TIMESTAMP(6) LIMIT 1"), step_deadline));
  if (due.empty()) return OperationStep{};
  auto done = pool_.transaction(step_deadline, [&](MysqlConnection& db) {
    stepping = {};
    return step(db, stepping, step_deadline);
  });
  if (!done && !stepping.empty() && done.error().code != ErrorCode::kOutcomeUnknown)
    put_off(stepping, done.error(), deadline);
  return done;
}

// Else the step that fails would be the one due longest again, and no other operation ever got its turn. If
// the database does not take this either, the step comes again at once.
void MysqlOperationStore::put_off(const OperationId& id, const Error& error, Deadline deadline) {
  std::string why = std::string(error_code_name(error.code)) + ": " + error.message;
  why.resize(std::min(why.size(), kLastErrorBytesMax));
  // Whatever the error quotes, the column takes it.
  std::replace_if(
      why.begin(), why.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  Sql update(
      "UPDATE operation SET step_due = UTC_TIMESTAMP(6) + INTERVAL ? SECOND, last_error = ? WHERE id = ? AND "
      "state = 'running'");
  update.bind(kPutOffSeconds).bind(why).bind(id.value);
  (void)pool_.execute(update, deadline);
}

Result<OperationStep> MysqlOperationStore::step(MysqlConnection& db, OperationId& stepping,
                                                Deadline deadline) {
  OperationStep done;
  SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
  Sql select(store::kSelectOperation);
  select.text("WHERE step_due <= ? ORDER BY step_due LIMIT 1 FOR UPDATE SKIP LOCKED").bind(now.text);
  SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
  if (rows.empty()) return done;
  stepping.value = rows.front().str(0);
  SLUICE_ASSIGN(auto stored, store::read_operation(rows.front()));
  Operation& operation = stored.operation;

  Progress progress;
  progress.last_job_id = stored.last_job_id;
  const int limit = step_letters(operation, rules_.step_max);
  if (limit > 0) {
    Sql choose(store::kSelectLetter);
    choose
        .text(
            "WHERE d.state = 'dead' AND d.job_id > ? AND d.died_at <= (SELECT created_at FROM operation "
            "WHERE id = ?)")
        .bind(stored.last_job_id)
        .bind(operation.id.value);
    store::add_filter(choose, operation.asked.filter);
    choose.text(" ORDER BY d.job_id LIMIT ?").bind(limit);
    SLUICE_ASSIGN(const Rows chosen, db.query(choose, deadline));
    std::vector<DeadLetter> letters;
    letters.reserve(chosen.size());
    for (const Row row : chosen) letters.push_back(store::read_letter(row));
    progress.looked_at = static_cast<int>(letters.size());
    progress.exhausted = progress.looked_at < limit;
    if (!letters.empty()) {
      progress.last_job_id = letters.back().job_id.value;
      SLUICE_TRY(move(db, now, operation, letters, progress, deadline));
    }
  }
  SLUICE_TRY(write_progress(db, now, operation, progress, deadline));
  SLUICE_FAILPOINT("store.operation_before_commit");
  done.worked = true;
  done.id = operation.id;
  (operation.asked.kind == OperationKind::kRedrive ? done.redriven : done.discarded) = progress.handled;
  return done;
}

Status MysqlOperationStore::move(MysqlConnection& db, const store::DbNow& now, const Operation& operation,
                                 const std::vector<DeadLetter>& letters, Progress& progress,
                                 Deadline deadline) {
  const bool redriving = operation.asked.kind == OperationKind::kRedrive;
  std::unordered_map<std::string_view, std::int64_t> generations;
  std::vector<std::string_view> ids;
  for (const DeadLetter& letter : letters) {
    if (redriving && !operation.asked.forced && letter.generation > rules_.redrives_max) {
      ++progress.guarded;
      continue;
    }
    const auto [known, first] = generations.emplace(letter.job_id.value, letter.generation);
    known->second = std::max(known->second, letter.generation);
    if (first) ids.push_back(letter.job_id.value);
  }
  if (ids.empty()) return {};

  // Under the jobs' locks nobody else can handle their letters.
  Sql lock(store::kSelectLocked);
  lock.text("WHERE id IN ").list(ids).text(" ORDER BY id FOR UPDATE");
  SLUICE_ASSIGN(const Rows locked, db.query(lock, deadline));
  Sql look("SELECT job_id FROM dead_letter WHERE state = 'dead' AND job_id IN ");
  look.list(ids).text(" FOR UPDATE");
  SLUICE_ASSIGN(const Rows still, db.query(look, deadline));
  std::unordered_map<std::string_view, bool> unhandled;
  for (const Row row : still) unhandled.emplace(row.text(0), true);

  std::vector<LockedJob> jobs;
  for (const Row row : locked) {
    LockedJob job = store::read_locked(row);
    const JobState state = job.job.state;
    const bool ended_so =
        (state == JobState::kDead || state == JobState::kFailed || state == JobState::kExpired) &&
        job.job.generation == generations.at(row.text(0));
    if (ended_so && unhandled.contains(row.text(0))) jobs.push_back(std::move(job));
  }
  progress.handled = static_cast<int>(jobs.size());
  progress.skipped = static_cast<int>(ids.size() - jobs.size());
  if (jobs.empty()) return {};
  if (redriving) return redrive(db, now, operation, jobs, deadline);

  std::vector<std::string_view> discarding;
  for (const LockedJob& job : jobs) discarding.push_back(job.job.id.value);
  Sql update(
      "UPDATE dead_letter SET state = 'discarded', handled_at = ?, operation_id = ? WHERE state = 'dead' "
      "AND job_id IN ");
  update.bind(now.text).bind(operation.id.value).list(discarding);
  if (auto updated = db.execute(update, deadline); !updated) return fail(updated.error());
  return {};
}

Status MysqlOperationStore::redrive(MysqlConnection& db, const store::DbNow& now, const Operation& operation,
                                    const std::vector<LockedJob>& jobs, Deadline deadline) {
  SLUICE_ASSIGN(const auto earlier, earlier_lifetimes(db, jobs, deadline));
  // By lifetime, mostly one.
  std::map<std::int64_t, std::vector<std::string_view>> lifetimes;
  std::map<std::string, store::Reopened> batches;
  for (const LockedJob& job : jobs) {
    std::int64_t lifetime_s = 0;
    if (operation.asked.expires_in_s) {
      lifetime_s = *operation.asked.expires_in_s;
    } else if (const auto found = earlier.find(job.job.id.value); found != earlier.end()) {
      lifetime_s = found->second;
    } else {
      lifetime_s = (job.job.expires_us - job.job.created_us) / 1'000'000;
    }
    lifetimes[std::max<std::int64_t>(1, lifetime_s)].push_back(job.job.id.value);
    if (job.job.batch_id.empty()) continue;
    batches[job.job.batch_id.value].add(job.job);
  }
  for (const auto& [lifetime_s, ids] : lifetimes) {
    SLUICE_TRY(
        store::requeue_jobs(db, now, ids, jobs_.attempts_max, lifetime_s, operation.id.value, deadline));
  }
  return store::reopen_lines(db, now, batches, deadline);
}

Status MysqlOperationStore::write_progress(MysqlConnection& db, const store::DbNow& now, Operation& operation,
                                           const Progress& progress, Deadline deadline) {
  operation.handled += progress.handled;
  operation.guarded += progress.guarded;
  operation.skipped += progress.skipped;
  const bool waits =
      !progress.exhausted && operation.asked.canary && operation.handled >= *operation.asked.canary;
  const OperationState state = progress.exhausted ? OperationState::kDone
                               : waits            ? OperationState::kCanary
                                                  : OperationState::kRunning;
  std::int64_t pause_us = 0;
  if (operation.asked.rate_max) {
    pause_us = std::llround(std::min(progress.looked_at / *operation.asked.rate_max, kPauseSecondsMax) * 1e6);
  }
  Sql update(
      "UPDATE operation SET state = ?, handled = ?, guarded = ?, skipped = ?, last_error = NULL, last_job_id "
      "= "
      "?, step_due = ");
  update.bind(operation_state_name(state))
      .bind(operation.handled)
      .bind(operation.guarded)
      .bind(operation.skipped);
  update.bind(progress.last_job_id);
  if (state == OperationState::kRunning) {
    update.param(now.text).text(" + INTERVAL ? MICROSECOND").bind(pause_us);
  } else {
    update.text("NULL");
  }
  update.text(", finished_at = ");
  update.param(state == OperationState::kDone ? std::optional<std::string_view>(now.text) : std::nullopt);
  update.text(" WHERE id = ?").bind(operation.id.value);
  if (auto updated = db.execute(update, deadline); !updated) return fail(updated.error());
  if (state != OperationState::kDone) return {};
  return store::write_audit(
      db, now,
      AuditEntry{{},
                 0,
                 operation.actor,
                 "dead_letters." + std::string(operation_kind_name(operation.asked.kind)) + ".done",
                 operation.id.value,
                 "",
                 operation.handled},
      ids_, deadline);
}

}  // namespace sluice
