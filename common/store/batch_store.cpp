// What clients ask of batches.
#include "common/store/batch_store.h"

#include <algorithm>
#include <unordered_map>

#include "common/store/batch_rows.h"
#include "common/store/idempotency_rows.h"

namespace sluice {

namespace {

// Locks the batch; as it is, without its counters.
struct Locked {
  BatchStatus status = BatchStatus::kValidating;
  std::int64_t open_lines = 0;
  bool retrying = false;
  std::int64_t revision = 1;
};
Result<Locked> lock(MysqlConnection& db, const TenantId& tenant, const BatchId& id, Deadline deadline) {
  Sql sql(
      "SELECT status, open_lines, retried_to IS NOT NULL, revision FROM file_batch WHERE id = ? AND "
      "tenant_id "
      "= ? FOR UPDATE");
  SLUICE_ASSIGN(const Rows rows, db.query(sql.bind(id.value).bind(tenant.value), deadline));
  if (rows.empty()) return fail(store::no_such_batch(id));
  const Row row = rows.front();
  return Locked{*batch_status_from(row.text(0)), row.int64(1), row.int64(2) != 0, row.int64(3)};
}

std::optional<std::int64_t> null_if_zero(int number) {
  return number == 0 ? std::nullopt : std::optional<std::int64_t>(number);
}

// Holds the row until the commit, so that whoever removes or sweeps the file sees the batch. One that isn't
// there any more is found out when the lines are checked.
Status hold_input(MysqlConnection& db, const NewFileBatch& asked, Deadline deadline) {
  Sql sql(
      "SELECT state = 'ready' AND (expires_at IS NULL OR expires_at > UTC_TIMESTAMP(6)) FROM file WHERE id = "
      "? AND tenant_id = ? LOCK IN SHARE MODE");
  sql.bind(asked.input_file_id.value).bind(asked.tenant.value);
  SLUICE_ASSIGN(const Rows rows, db.query(sql, deadline));
  if (rows.empty() || rows.front().int64(0) != 0) return {};
  return fail(ErrorCode::kNotFound, "no file with id " + asked.input_file_id.value);
}

}  // namespace

Result<FileBatch> BatchStore::create(const NewFileBatch& asked, const std::optional<IdempotencyClaim>& claim,
                                     Deadline deadline) {
  std::vector<store::ClaimRow> claims;
  if (claim) claims.push_back({asked.tenant, *claim, asked.id.value});
  auto done = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<FileBatch> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    SLUICE_TRY(store::insert_claims(db, now, claims, deadline));
    SLUICE_TRY(hold_input(db, asked, deadline));
    const int shard = shard_of_id(asked.id.value).value_or(0);
    Sql insert(
        "INSERT INTO file_batch (id, shard, tenant_id, endpoint, input_file_id, completion_window, window_s, "
        "priority, callback_url, callback_lines, callback_seconds, metadata, output_expires_s, status, "
        "created_at, "
        "expires_at, work_due) "
        "VALUES "
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'validating', ?, ? + INTERVAL ? SECOND, ?)");
    insert.bind(asked.id.value).bind(shard).bind(asked.tenant.value).bind(asked.endpoint);
    insert.bind(asked.input_file_id.value).bind(asked.window).bind(asked.window_s);
    insert.bind(static_cast<int>(asked.priority)).bind(store::null_if_empty(asked.callback_url));
    insert.bind(null_if_zero(asked.callback_lines)).bind(null_if_zero(asked.callback_seconds));
    insert.bind(store::null_if_empty(asked.metadata_json)).bind(asked.output_expires_s).bind(now.text);
    insert.bind(now.text).bind(asked.window_s).bind(now.text);
    SLUICE_TRY(db.execute(insert, deadline));
    Sql counters("INSERT INTO batch (id, shard, tenant_id, total, created_at) VALUES ");
    counters.row(asked.id.value, shard, asked.tenant.value, 0, now.text);
    SLUICE_TRY(db.execute(counters, deadline));
    return store::read_written(db, asked.id, deadline);
  });
  // The id tells the repetition of a commit whose answer was lost.
  const bool there = !done && done.error().code == ErrorCode::kConflict &&
                     duplicate_key(done.error()) != store::kIdempotencyOnce;
  if (there) return get(asked.tenant, asked.id, deadline);
  return done;
}

Result<FileBatch> BatchStore::get(const TenantId& tenant, const BatchId& id, Deadline deadline) {
  Sql sql(store::kSelectFileBatch);
  sql.text("WHERE f.id = ? AND f.tenant_id = ?").bind(id.value).bind(tenant.value);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  if (rows.empty()) return fail(store::no_such_batch(id));
  return store::read_file_batch(rows.front());
}

Result<std::vector<FileBatch>> BatchStore::list(const TenantId& tenant, const BatchId& after, int limit,
                                                Deadline deadline) {
  Sql sql(store::kSelectFileBatch);
  sql.text("WHERE f.tenant_id = ?").bind(tenant.value);
  if (!after.empty()) sql.text(" AND f.id < ?").bind(after.value);
  sql.text(" ORDER BY f.id DESC LIMIT ?").bind(limit);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  std::vector<FileBatch> batches;
  for (const Row row : rows) batches.push_back(store::read_file_batch(row));
  return batches;
}

Result<FileBatch> BatchStore::cancel(const TenantId& tenant, const BatchId& id, Deadline deadline) {
  auto done = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<FileBatch> {
    SLUICE_ASSIGN(const Locked batch, lock(db, tenant, id, deadline));
    const bool running = batch.status == BatchStatus::kInProgress && (batch.open_lines > 0 || batch.retrying);
    if (batch.status != BatchStatus::kValidating && !running) return store::read_written(db, id, deadline);
    Sql update(
        "UPDATE file_batch SET status = 'cancelling', cancelling_at = UTC_TIMESTAMP(6), work_due = "
        "UTC_TIMESTAMP(6), paused_at = NULL, moved_to = NULL, retried_to = NULL, close_due = NULL WHERE id = "
        "?");
    SLUICE_TRY(db.execute(update.bind(id.value), deadline));
    return store::read_written(db, id, deadline);
  });
  // Repeating is safe: what is being cancelled already stays so.
  if (!done && done.error().code == ErrorCode::kOutcomeUnknown) return cancel(tenant, id, deadline);
  return done;
}

Result<FileBatch> BatchStore::set_paused(const TenantId& tenant, const BatchId& id, bool paused,
                                         Deadline deadline) {
  auto done = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<FileBatch> {
    SLUICE_ASSIGN(const Locked batch, lock(db, tenant, id, deadline));
    const bool over = batch.status != BatchStatus::kValidating && batch.status != BatchStatus::kInProgress;
    if (over && paused) return fail(ErrorCode::kConflict, "the batch has ended or is being cancelled");
    Sql update("UPDATE file_batch SET paused_at = ");
    update.text(paused ? "COALESCE(paused_at, UTC_TIMESTAMP(6))" : "NULL");
    // Its lines follow in steps.
    if (batch.status == BatchStatus::kInProgress) {
      update.text(", moved_to = '', work_due = COALESCE(work_due, UTC_TIMESTAMP(6))");
    }
    update.text(" WHERE id = ?");
    SLUICE_TRY(db.execute(update.bind(id.value), deadline));
    return store::read_written(db, id, deadline);
  });
  if (!done && done.error().code == ErrorCode::kOutcomeUnknown) {
    return set_paused(tenant, id, paused, deadline);
  }
  return done;
}

Result<FileBatch> BatchStore::retry(const TenantId& tenant, const BatchId& id, Deadline deadline) {
  std::int64_t wanted = 0;
  auto done = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<FileBatch> {
    SLUICE_ASSIGN(const Locked batch, lock(db, tenant, id, deadline));
    if (!is_final(batch.status)) return fail(ErrorCode::kConflict, "the batch has not ended yet");
    wanted = batch.revision + 1;
    Sql count("SELECT failed + dead + cancelled + expired FROM batch WHERE id = ?");
    SLUICE_ASSIGN(const Rows rows, db.query(count.bind(id.value), deadline));
    if (rows.empty() || rows.front().int64(0) == 0) {
      return fail(ErrorCode::kConflict, "the batch has no line that could be run again");
    }
    Sql update(
        "UPDATE file_batch SET status = 'in_progress', revision = revision + 1, retried_to = '', work_due = "
        "UTC_TIMESTAMP(6), expires_at = UTC_TIMESTAMP(6) + INTERVAL window_s SECOND, finalizing_at = NULL, "
        "completed_at = NULL, failed_at = NULL, expired_at = NULL, cancelling_at = NULL, cancelled_at = NULL "
        "WHERE id = ?");
    SLUICE_TRY(db.execute(update.bind(id.value), deadline));
    return store::read_written(db, id, deadline);
  });
  if (done || done.error().code != ErrorCode::kOutcomeUnknown) return done;
  auto now = get(tenant, id, deadline);
  return now && now->revision >= wanted ? now : done;
}

Result<EndedLines> BatchStore::ended_lines(const BatchId& id, LineKind kind, std::int64_t after_seq,
                                           int limit, Deadline deadline, std::int64_t bytes_max) {
  EndedLines ended;
  ended.looked_to = after_seq;
  // Before the lines: whatever has a lower number is there to be seen.
  Sql last("SELECT next_seq - 1 FROM file_batch WHERE id = ?");
  SLUICE_ASSIGN(const Rows seqs, pool_.query(last.bind(id.value), deadline));
  if (seqs.empty()) return fail(store::no_such_batch(id));
  // Sizes first: what is fetched then is bounded.
  Sql page(
      "SELECT l.job_id, l.seq, l.custom_id, COALESCE(LENGTH(r.text), 0) + "
      "COALESCE(LENGTH(r.reasoning_content), 0) + COALESCE(LENGTH(r.logprobs), 0) + IF(j.surface = "
      "'response', LENGTH(p.request), 0) FROM batch_line l JOIN job j ON j.id = l.job_id JOIN job_payload p "
      "ON "
      "p.job_id = j.id LEFT JOIN job_result r ON r.job_id = j.id WHERE l.batch_id = ? AND l.seq > ?");
  page.bind(id.value).bind(after_seq);
  if (kind == LineKind::kSucceeded) page.text(" AND j.state = 'succeeded'");
  if (kind == LineKind::kOthers) page.text(" AND j.state <> 'succeeded'");
  page.text(" ORDER BY l.seq LIMIT ?").bind(limit);
  SLUICE_ASSIGN(const Rows rows, pool_.query(page, deadline));
  std::vector<std::string_view> ids;
  std::int64_t bytes = 0;
  for (const Row row : rows) {
    bytes += row.int64(3);
    if (!ids.empty() && bytes > bytes_max) break;
    ids.push_back(row.text(0));
    ended.looked_to = row.int64(1);
  }
  ended.all = ids.size() == rows.size() && static_cast<int>(rows.size()) < limit;
  if (ended.all) ended.looked_to = std::max(ended.looked_to, seqs.front().int64(0));
  if (ids.empty()) return ended;
  Sql select(store::kSelectJob);
  SLUICE_ASSIGN(const Rows jobs, pool_.query(select.text("WHERE j.id IN ").list(ids), deadline));
  std::unordered_map<std::string, Job> by_id;
  std::vector<std::string> repeating;
  for (const Row row : jobs) {
    Job job = store::read_job(row);
    // One that was queued again between the two questions comes later.
    if (!is_final(job.state)) continue;
    if (job.surface == Surface::kResponse) repeating.push_back(job.id.value);
    const std::string job_id = job.id.value;
    by_id.emplace(job_id, std::move(job));
  }
  std::unordered_map<std::string, std::string> requests;
  if (!repeating.empty()) {
    Sql payloads("SELECT job_id, request FROM job_payload WHERE job_id IN ");
    SLUICE_ASSIGN(const Rows read, pool_.query(payloads.list(repeating), deadline));
    for (const Row row : read) requests.emplace(row.str(0), row.str(1));
  }
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const Row row = rows[i];
    const auto found = by_id.find(row.str(0));
    if (found == by_id.end()) continue;
    ended.lines.push_back(
        {row.int64(1), row.str(2), std::move(found->second), std::move(requests[row.str(0)])});
  }
  return ended;
}

}  // namespace sluice
