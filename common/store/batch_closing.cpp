#include "common/store/batch_closing.h"

#include "common/base/failpoint.h"
#include "common/store/batch_rows.h"
#include "common/store/mysql_file_store.h"

namespace sluice {

namespace {

Error lost(const ClosingBatch& claimed) {
  return {ErrorCode::kConflict, "batch " + claimed.batch.asked.id.value + " is closed by somebody else"};
}

// What a batch has come to, and the column that says when.
struct Outcome {
  BatchStatus status;
  std::string_view column;
};
Outcome outcome_of(bool cancelling, bool lost_lines, std::int64_t expired) {
  if (cancelling) return {BatchStatus::kCancelled, "cancelled_at"};
  if (lost_lines) return {BatchStatus::kFailed, "failed_at"};
  if (expired > 0) return {BatchStatus::kExpired, "expired_at"};
  return {BatchStatus::kCompleted, "completed_at"};
}

Status publish(MysqlConnection& db, const std::optional<WrittenFile>& written, Deadline deadline) {
  if (!written) return {};
  SLUICE_TRY(finish_file(db, written->file, written->bytes, deadline));
  return {};
}

std::optional<std::string_view> id_of(const std::optional<WrittenFile>& written) {
  return written ? std::optional<std::string_view>(written->file.id.value) : std::nullopt;
}

}  // namespace

Result<std::optional<ClosingBatch>> BatchClosing::claim(std::chrono::milliseconds hold, Deadline deadline) {
  using Claimed = std::optional<ClosingBatch>;
  // Asked often, mostly for nothing: without a transaction first.
  SLUICE_ASSIGN(
      const Rows due,
      pool_.query(Sql("SELECT 1 FROM file_batch WHERE close_due <= UTC_TIMESTAMP(6) LIMIT 1"), deadline));
  if (due.empty()) return Claimed();
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<Claimed> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    Sql select(
        "SELECT id, tenant_id, closing_output_id, closing_error_id FROM file_batch WHERE close_due <= ? AND "
        "open_lines = 0 ORDER BY close_due LIMIT 1 FOR UPDATE SKIP LOCKED");
    SLUICE_ASSIGN(const Rows rows, db.query(select.bind(now.text), deadline));
    if (rows.empty()) return Claimed();
    ClosingBatch claimed;
    const std::string id = rows.front().str(0);
    const int shard = shard_of_id(id).value_or(0);
    claimed.abandoned_output_id.value = rows.front().str_or(2, "");
    claimed.abandoned_error_id.value = rows.front().str_or(3, "");
    claimed.output_id = ids_.make<FileId>(shard);
    claimed.error_id = ids_.make<FileId>(shard);
    Sql update(
        "UPDATE file_batch SET status = IF(status = 'cancelling', status, 'finalizing'), finalizing_at = "
        "COALESCE(finalizing_at, ?), paused_at = NULL, moved_to = NULL, closing_output_id = ?, "
        "closing_error_id = ?, "
        "close_due "
        "= ? + INTERVAL ? MICROSECOND WHERE id = ?");
    update.bind(now.text).bind(claimed.output_id.value).bind(claimed.error_id.value).bind(now.text);
    update.bind(std::chrono::microseconds(hold).count()).bind(id);
    SLUICE_TRY(db.execute(update, deadline));
    SLUICE_ASSIGN(claimed.batch, store::read_written(db, BatchId{id}, deadline));
    return Claimed(std::move(claimed));
  });
}

Status BatchClosing::keep(const ClosingBatch& claimed, std::chrono::milliseconds hold, Deadline deadline) {
  Sql sql(
      "UPDATE file_batch SET close_due = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND WHERE id = ? AND "
      "closing_output_id = ?");
  sql.bind(std::chrono::microseconds(hold).count()).bind(claimed.batch.asked.id.value);
  const auto kept = pool_.execute(sql.bind(claimed.output_id.value), deadline);
  if (!kept) return fail(kept.error());
  if (*kept == 0) return fail(lost(claimed));
  return {};
}

Status BatchClosing::release(const ClosingBatch& claimed, Deadline deadline) {
  return keep(claimed, std::chrono::milliseconds(0), deadline);
}

Result<BatchStatus> BatchClosing::close(const ClosingBatch& claimed, const std::optional<WrittenFile>& output,
                                        const std::optional<WrittenFile>& errors, Deadline deadline) {
  const NewFileBatch& asked = claimed.batch.asked;
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<BatchStatus> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    Sql lock(
        "SELECT f.status = 'cancelling', f.errors IS NOT NULL, f.revision, (SELECT b.expired FROM batch b "
        "WHERE b.id = f.id) FROM file_batch f WHERE f.id = ? AND f.closing_output_id = ? AND f.open_lines = "
        "0 "
        "FOR UPDATE");
    SLUICE_ASSIGN(const Rows rows,
                  db.query(lock.bind(asked.id.value).bind(claimed.output_id.value), deadline));
    if (rows.empty()) return fail(lost(claimed));
    const Row row = rows.front();
    const Outcome outcome = outcome_of(row.int64(0) != 0, row.int64(1) != 0, row.int64(3));
    SLUICE_TRY(publish(db, output, deadline));
    SLUICE_TRY(publish(db, errors, deadline));
    Sql update("UPDATE file_batch SET status = ?, output_file_id = ?, error_file_id = ?, ");
    update.bind(batch_status_name(outcome.status)).bind(id_of(output)).bind(id_of(errors));
    update.text(outcome.column);
    update.text(
        " = ?, close_due = NULL, work_due = NULL, paused_at = NULL, closing_output_id = NULL, "
        "closing_error_id = NULL WHERE id = ?");
    SLUICE_TRY(db.execute(update.bind(now.text).bind(asked.id.value), deadline));
    SLUICE_TRY(store::write_batch_event(db, now, asked.id, asked.tenant, row.int64(2), outcome.status, ids_,
                                        deadline));
    SLUICE_FAILPOINT("store.batch_close_before_commit");
    return outcome.status;
  });
}

}  // namespace sluice
