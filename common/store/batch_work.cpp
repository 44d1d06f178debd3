#include "common/store/batch_work.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/base/failpoint.h"
#include "common/store/batch_rows.h"
#include "common/store/mysql_file_store.h"

namespace sluice {

using store::Change;
using store::LockedJob;

namespace {

Error moved_on(const BatchId& id) {
  return {ErrorCode::kConflict, "batch " + id.value + " moved on"};
}

// When lines of a paused batch are due: for the dispatcher, which looks for what is due, they aren't there.
constexpr const char* kNever = "9999-12-31";

Status hold_back(MysqlConnection& db, std::span<const std::string_view> ids, Deadline deadline) {
  Sql update("UPDATE job SET publish_due = ? WHERE state = 'queued' AND published_at IS NULL AND id IN ");
  SLUICE_TRY(db.execute(update.bind(kNever).list(ids), deadline));
  return {};
}

JobError batch_cancelled() {
  return {"batch_cancelled", "The batch was cancelled on request.", "job_error", ""};
}

}  // namespace

Result<std::vector<FileBatch>> BatchWork::due(std::span<const int> shards, bool validating, int limit,
                                              Deadline deadline) {
  std::vector<FileBatch> batches;
  if (shards.empty()) return batches;
  Sql sql(store::kSelectFileBatch);
  if (validating) {
    // One of each tenant, so that nobody's files keep others' waiting.
    sql.text(
        "WHERE f.id IN (SELECT MIN(id) FROM file_batch WHERE status = 'validating' AND work_due <= "
        "UTC_TIMESTAMP(6) GROUP BY tenant_id)");
  } else {
    sql.text("WHERE f.work_due <= UTC_TIMESTAMP(6) AND f.status IN ('in_progress', 'cancelling')");
  }
  if (static_cast<int>(shards.size()) < kShards) sql.text(" AND f.shard IN ").list(shards);
  sql.text(" ORDER BY f.work_due LIMIT ?").bind(limit);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  for (const Row row : rows) batches.push_back(store::read_file_batch(row));
  return batches;
}

Status BatchWork::put_off(const BatchId& id, std::chrono::milliseconds time, Deadline deadline) {
  Sql sql(
      "UPDATE file_batch SET work_due = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND WHERE id = ? AND work_due "
      "IS NOT NULL");
  sql.bind(std::chrono::microseconds(time).count()).bind(id.value);
  SLUICE_TRY(pool_.execute(sql, deadline));
  return {};
}

Status BatchWork::refuse(const FileBatch& batch, const BatchErrors& errors,
                         const std::optional<WrittenFile>& report, Deadline deadline) {
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Status {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    Sql update(
        "UPDATE file_batch SET status = 'failed', failed_at = ?, errors = ?, error_file_id = ?, work_due = "
        "NULL, "
        "paused_at = NULL WHERE id = ? AND status = 'validating'");
    update.bind(now.text).bind(store::batch_errors_to_json(errors));
    update.bind(report ? std::optional<std::string_view>(report->file.id.value) : std::nullopt);
    update.bind(batch.asked.id.value);
    auto updated = db.execute(update, deadline);
    if (!updated) return fail(updated.error());
    if (*updated == 0) return fail(moved_on(batch.asked.id));
    if (report) SLUICE_TRY(finish_file(db, report->file, report->bytes, deadline));
    SLUICE_TRY(store::write_batch_event(db, now, batch.asked.id, batch.asked.tenant, batch.revision,
                                        BatchStatus::kFailed, ids_, deadline));
    return {};
  });
}

Status BatchWork::accept(const BatchId& id, std::int64_t lines, Deadline deadline) {
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Status {
    Sql update(
        "UPDATE file_batch SET status = 'in_progress', in_progress_at = UTC_TIMESTAMP(6), lines_total = ?, "
        "open_lines = ?, work_due = UTC_TIMESTAMP(6) WHERE id = ? AND status = 'validating'");
    auto updated = db.execute(update.bind(lines).bind(lines).bind(id.value), deadline);
    if (!updated) return fail(updated.error());
    if (*updated == 0) return fail(moved_on(id));
    Sql total("UPDATE batch SET total = ? WHERE id = ?");
    SLUICE_TRY(db.execute(total.bind(lines).bind(id.value), deadline));
    SLUICE_FAILPOINT("store.batch_accept_before_commit");
    return {};
  });
}

Status BatchWork::add_lines(const FileBatch& batch, std::span<const NewLine> lines, FilePlace read_to,
                            Deadline deadline) {
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Status {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    const std::string& id = batch.asked.id.value;
    Sql lock(
        "SELECT status, GREATEST(0, TIMESTAMPDIFF(SECOND, ?, expires_at)), paused_at IS NOT NULL, moved_to "
        "IS NOT NULL FROM file_batch WHERE id = ? AND "
        "next_byte = ? AND status IN ('in_progress', 'cancelling') FOR UPDATE");
    lock.bind(now.text).bind(id).bind(batch.next_byte);
    SLUICE_ASSIGN(const Rows rows, db.query(lock, deadline));
    if (rows.empty()) return fail(moved_on(batch.asked.id));
    const bool cancelling = rows.front().text(0) == "cancelling";
    const std::int64_t left_s = rows.front().int64(1);
    const bool paused = rows.front().int64(2) != 0;
    const bool moving = rows.front().int64(3) != 0;

    Submission submission;
    Sql numbers("INSERT INTO batch_line (job_id, batch_id, line_no, custom_id) VALUES ");
    for (const NewLine& line : lines) {
      submission.jobs.push_back(line.job);
      submission.jobs.back().expires_in_s = left_s;
      numbers.row(line.job.job.id.value, id, line.line_no, line.custom_id);
    }
    if (!lines.empty()) {
      SLUICE_TRY(store::insert_submissions(db, now, std::span(&submission, 1), rules_, deadline));
      SLUICE_TRY(db.execute(numbers, deadline));
      std::vector<std::string_view> ids;
      for (const NewLine& line : lines) ids.push_back(line.job.job.id.value);
      if (paused) SLUICE_TRY(hold_back(db, ids, deadline));
    }
    const auto lines_in = batch.lines_in + static_cast<std::int64_t>(lines.size());
    const bool more = lines_in < batch.lines_total || cancelling || moving;
    Sql progress(
        "UPDATE file_batch SET lines_in = ?, next_line = ?, next_byte = ?, work_due = ? WHERE id = ?");
    progress.bind(lines_in).bind(read_to.line).bind(read_to.byte);
    progress.bind(more ? std::optional<std::string_view>(now.text) : std::nullopt).bind(id);
    SLUICE_TRY(db.execute(progress, deadline));
    SLUICE_TRY(end_unwanted(db, now, lines, cancelling, deadline));
    SLUICE_FAILPOINT("store.batch_lines_before_commit");
    return {};
  });
}

Status BatchWork::end_unwanted(MysqlConnection& db, const store::DbNow& now, std::span<const NewLine> lines,
                               bool cancelling, Deadline deadline) {
  std::vector<std::string_view> ids;
  std::map<std::string_view, const NewLine*> by_id;
  for (const NewLine& line : lines) {
    if (!line.refused && !cancelling) continue;
    ids.push_back(line.job.job.id.value);
    by_id[ids.back()] = &line;
  }
  if (ids.empty()) return {};
  Sql select(store::kSelectLocked);
  SLUICE_ASSIGN(const Rows rows,
                db.query(select.text("WHERE id IN ").list(ids).text(" ORDER BY id FOR UPDATE"), deadline));
  std::vector<LockedJob> locked;
  locked.reserve(rows.size());
  std::vector<Change> changes;
  for (const Row row : rows) {
    locked.push_back(store::read_locked(row));
    Change change;
    change.locked = &locked.back();
    const NewLine& line = *by_id.at(row.text(0));
    change.to = line.refused ? JobState::kFailed : JobState::kCancelled;
    change.error = line.refused ? *line.refused : batch_cancelled();
    changes.push_back(std::move(change));
  }
  return store::write_changes(db, now, changes, ids_, deadline);
}

Status BatchWork::lose_input(const FileBatch& batch, const BatchError& error, Deadline deadline) {
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Status {
    const std::string& id = batch.asked.id.value;
    Sql update(
        "UPDATE file_batch SET errors = ?, open_lines = open_lines - (lines_total - lines_in), lines_total = "
        "lines_in, work_due = IF(status = 'cancelling' OR moved_to IS NOT NULL, work_due, NULL), "
        "close_due = IF(open_lines = 0, UTC_TIMESTAMP(6), close_due) "
        "WHERE id = ? AND lines_in = ? AND lines_in < lines_total AND status IN ('in_progress', "
        "'cancelling')");
    update.bind(store::batch_errors_to_json({1, {error}})).bind(id).bind(batch.lines_in);
    auto updated = db.execute(update, deadline);
    if (!updated) return fail(updated.error());
    if (*updated == 0) return fail(moved_on(batch.asked.id));
    Sql total("UPDATE batch SET total = ? WHERE id = ?");
    SLUICE_TRY(db.execute(total.bind(batch.lines_in).bind(id), deadline));
    return {};
  });
}

Result<bool> BatchWork::end_unstarted(const FileBatch& batch, Deadline deadline) {
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<bool> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    Sql update(
        "UPDATE file_batch SET status = 'cancelled', cancelled_at = ?, work_due = NULL, close_due = NULL "
        "WHERE id = ? AND "
        "status = 'cancelling' AND lines_total = 0");
    auto updated = db.execute(update.bind(now.text).bind(batch.asked.id.value), deadline);
    if (!updated) return fail(updated.error());
    if (*updated == 0) return fail(moved_on(batch.asked.id));
    SLUICE_TRY(store::write_batch_event(db, now, batch.asked.id, batch.asked.tenant, batch.revision,
                                        BatchStatus::kCancelled, ids_, deadline));
    return true;
  });
}

Result<bool> BatchWork::cancel_some(const FileBatch& batch, JobId& from, int limit, Deadline deadline) {
  if (batch.lines_total == 0) return end_unstarted(batch, deadline);
  JobId next;
  auto done = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<bool> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    Sql select(store::kSelectLocked);
    select.text(
        "WHERE batch_id = ? AND id > ? AND state IN ('queued', 'running') ORDER BY id LIMIT ? FOR UPDATE");
    select.bind(batch.asked.id.value).bind(from.value).bind(limit);
    SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
    if (rows.empty()) {
      // A closer may be at work already: the end of the last line said that it is due.
      Sql over(
          "UPDATE file_batch SET work_due = NULL, close_due = IF(open_lines = 0, COALESCE(close_due, ?), "
          "close_due) WHERE id = ? AND status = 'cancelling' AND lines_in = lines_total");
      over.bind(now.text).bind(batch.asked.id.value);
      if (!from.empty()) over.text(" AND open_lines = 0");
      auto ended = db.execute(over, deadline);
      if (!ended) return fail(ended.error());
      // What an operator queued again meanwhile may stand before `from`.
      next = JobId{};
      return *ended > 0 || from.empty();
    }
    next = JobId{rows[rows.size() - 1].str(0)};
    SLUICE_TRY(store::end_all(db, now, rows, JobState::kCancelled, batch_cancelled(), ids_, deadline));
    SLUICE_FAILPOINT("store.batch_cancel_before_commit");
    return false;
  });
  if (done) from = next;
  return done;
}

namespace {

// Those of the jobs that were refused as they went in: nothing is kept of them that could run.
Result<std::set<std::string>> refused_of(MysqlConnection& db, std::span<const std::string_view> ids,
                                         Deadline deadline) {
  std::set<std::string> refused;
  if (ids.empty()) return refused;
  Sql sql("SELECT job_id FROM job_payload WHERE request = '{}' AND job_id IN ");
  SLUICE_ASSIGN(const Rows rows, db.query(sql.list(ids), deadline));
  for (const Row row : rows) refused.insert(row.str(0));
  return refused;
}

}  // namespace

Result<bool> BatchWork::move_some(const FileBatch& batch, int limit, Deadline deadline) {
  const std::string& id = batch.asked.id.value;
  const std::string from = batch.moved_to.value_or("");
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<bool> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    Sql select("SELECT id FROM job WHERE batch_id = ? AND id > ? ORDER BY id LIMIT ?");
    SLUICE_ASSIGN(const Rows rows, db.query(select.bind(id).bind(from).bind(limit), deadline));
    std::vector<std::string_view> ids;
    for (const Row row : rows) ids.push_back(row.text(0));
    if (!ids.empty() && batch.paused) SLUICE_TRY(hold_back(db, ids, deadline));
    if (!ids.empty() && !batch.paused) {
      // Each in the place that it had.
      Sql update(
          "UPDATE job SET publish_due = created_at WHERE state = 'queued' AND publish_due = ? AND id IN ");
      SLUICE_TRY(db.execute(update.bind(kNever).list(ids), deadline));
    }
    const bool last = static_cast<int>(rows.size()) < limit;
    Sql progress(
        "UPDATE file_batch SET moved_to = ?, work_due = IF(? OR lines_in < lines_total OR retried_to IS NOT "
        "NULL, ?, NULL) WHERE id = ? AND moved_to = ? AND status = 'in_progress' AND (paused_at IS NOT NULL) "
        "= "
        "?");
    progress.bind(last ? std::nullopt : std::optional(ids.back())).bind(last ? 0 : 1).bind(now.text);
    progress.bind(id).bind(from).bind(batch.paused ? 1 : 0);
    auto moved = db.execute(progress, deadline);
    if (!moved) return fail(moved.error());
    if (*moved == 0) return fail(moved_on(batch.asked.id));
    return last;
  });
}

Result<bool> BatchWork::retry_some(const FileBatch& batch, int limit, Deadline deadline) {
  const std::string& id = batch.asked.id.value;
  const std::string from = batch.retried_to.value_or("");
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<bool> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    Sql select(store::kSelectLocked);
    select.text("WHERE batch_id = ? AND id > ? ORDER BY id LIMIT ? FOR UPDATE");
    SLUICE_ASSIGN(const Rows rows, db.query(select.bind(id).bind(from).bind(limit), deadline));
    Sql lock(
        "SELECT GREATEST(1, TIMESTAMPDIFF(SECOND, ?, expires_at)), paused_at IS NOT NULL, moved_to IS NOT "
        "NULL "
        "FROM file_batch WHERE id = ? AND retried_to = ? AND status = 'in_progress' FOR UPDATE");
    SLUICE_ASSIGN(const Rows still, db.query(lock.bind(now.text).bind(id).bind(from), deadline));
    if (still.empty()) return fail(moved_on(batch.asked.id));

    std::vector<std::string_view> failed;
    for (const Row row : rows) {
      if (store::read_state(row.text(5)) == JobState::kFailed) failed.push_back(row.text(0));
    }
    SLUICE_ASSIGN(const auto refused, refused_of(db, failed, deadline));
    std::vector<std::string_view> ids;
    std::map<std::string, store::Reopened> reopened;
    for (const Row row : rows) {
      const LockedJob locked = store::read_locked(row);
      if (!is_final(locked.job.state) || locked.job.state == JobState::kSucceeded) continue;
      if (refused.contains(locked.job.id.value)) continue;
      ids.push_back(row.text(0));
      reopened[id].add(locked.job);
    }
    if (!ids.empty()) {
      SLUICE_TRY(
          store::requeue_jobs(db, now, ids, rules_.attempts_max, still.front().int64(0), "", deadline));
      if (still.front().int64(1) != 0) SLUICE_TRY(hold_back(db, ids, deadline));
      SLUICE_TRY(store::reopen_lines(db, now, reopened, deadline));
    }
    const bool last = static_cast<int>(rows.size()) < limit;
    Sql progress("UPDATE file_batch SET retried_to = ?, work_due = ?");
    progress.bind(last ? std::nullopt : std::optional<std::string_view>(rows[rows.size() - 1].text(0)));
    const bool done = last && still.front().int64(2) == 0;
    progress.bind(done ? std::nullopt : std::optional<std::string_view>(now.text));
    // Lines that were queued again may all have ended already.
    if (last) progress.text(", close_due = IF(open_lines = 0, ?, NULL)").bind(now.text);
    SLUICE_TRY(db.execute(progress.text(" WHERE id = ?").bind(id), deadline));
    SLUICE_FAILPOINT("store.batch_retry_before_commit");
    return last;
  });
}

}  // namespace sluice
