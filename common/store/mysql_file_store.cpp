#include "common/store/mysql_file_store.h"

#include <algorithm>

#include "common/base/failpoint.h"
#include "common/store/idempotency_rows.h"
#include "common/store/job_rows.h"

namespace sluice {

namespace {

// Blobs go through the undo log and the binary log: few of them in one statement.
constexpr int kChunksInStatement = 8;

constexpr const char* kSelectFile =
    "SELECT f.id, f.tenant_id, f.purpose, f.filename, f.bytes, " SLUICE_MICROS(
        "f.created_at") ", " SLUICE_MICROS("f.expires_at") " FROM file f ";

// What anybody but the writer can see.
constexpr const char* kVisible =
    "f.state = 'ready' AND (f.expires_at IS NULL OR f.expires_at > UTC_TIMESTAMP(6))";

// What read() sees if it also finds what was removed.
constexpr const char* kVisibleOrRemoved = "f.state IN ('ready', 'deleted')";

FileInfo read_file(const Row& row) {
  FileInfo file;
  file.id.value = row.str(0);
  file.tenant.value = row.str(1);
  file.purpose = row.str(2);
  file.filename = row.str(3);
  file.bytes = static_cast<std::uint64_t>(row.int64(4));
  file.created_us = row.int64(5);
  file.expires_us = row.int64(6);
  return file;
}

Error no_file(const FileId& id) {
  return Error{ErrorCode::kNotFound, "no file with id " + id.value};
}

Error not_writable(const FileId& id) {
  return Error{ErrorCode::kConflict, "the file " + id.value + " is not being written"};
}

Status check_chunk(std::string_view bytes) {
  if (!bytes.empty() && bytes.size() <= kFileChunkBytesMax) return {};
  return fail(ErrorCode::kInternal, "a chunk of a file has " + std::to_string(bytes.size()) + " bytes");
}

// How far the chunks of a file reach, and how many bytes they are.
struct Extent {
  std::uint64_t end = 0;
  std::uint64_t bytes = 0;
};
Result<Extent> extent_of(MysqlConnection& db, const FileId& id, Deadline deadline) {
  Sql sql(
      "SELECT COALESCE(MAX(start + length), 0), CAST(COALESCE(SUM(length), 0) AS UNSIGNED) "
      "FROM file_chunk WHERE file_id = ?");
  SLUICE_ASSIGN(const Rows rows, db.query(sql.bind(id.value), deadline));
  return Extent{static_cast<std::uint64_t>(rows.front().int64(0)),
                static_cast<std::uint64_t>(rows.front().int64(1))};
}

// Runs `body` again if its commit's answer was lost: for what may be repeated.
template <class Body>
auto repeatable(MysqlPool& pool, Deadline deadline, const Body& body) {
  auto done = pool.transaction(deadline, body);
  if (!done && done.error().code == ErrorCode::kOutcomeUnknown) done = pool.transaction(deadline, body);
  return done;
}

}  // namespace

Result<FileInfo> finish_file(MysqlConnection& db, const NewFile& file, std::uint64_t bytes,
                             Deadline deadline) {
  Sql select(kSelectFile);
  select.text("WHERE f.id = ? AND f.tenant_id = ? AND f.state IN ('writing', 'ready') FOR UPDATE")
      .bind(file.id.value)
      .bind(file.tenant.value);
  SLUICE_ASSIGN(const Rows found, db.query(select, deadline));
  if (found.empty()) return fail(not_writable(file.id));
  SLUICE_ASSIGN(const Extent extent, extent_of(db, file.id, deadline));
  if (extent.end != bytes || extent.bytes != bytes) {
    return fail(ErrorCode::kCorrupt, "the chunks of " + file.id.value + " are " +
                                         std::to_string(extent.bytes) + " bytes up to " +
                                         std::to_string(extent.end) + ", not " + std::to_string(bytes));
  }
  // A second finish finds it ready and leaves it as it is.
  Sql update(
      "UPDATE file SET state = 'ready', bytes = ?, purpose = ?, filename = ?, "
      "expires_at = created_at + INTERVAL ? SECOND, sweep_due = created_at + INTERVAL ? SECOND "
      "WHERE id = ? AND state = 'writing'");
  update.bind(bytes)
      .bind(file.purpose)
      .bind(file.filename)
      .bind(file.expires_in_s)
      .bind(file.expires_in_s)
      .bind(file.id.value);
  SLUICE_ASSIGN(const std::uint64_t finished, db.execute(update, deadline));
  if (finished == 1 && file.claim) {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    SLUICE_TRY(store::insert_claims(db, now, {{file.tenant, *file.claim, file.id.value}}, deadline));
  }
  Sql again(kSelectFile);
  SLUICE_ASSIGN(const Rows rows, db.query(again.text("WHERE f.id = ?").bind(file.id.value), deadline));
  return read_file(rows.front());
}

Result<std::uint64_t> MysqlFileStore::begin(const NewFile& file, Deadline deadline) {
  const auto shard = shard_of_id(file.id.value);
  if (!shard) return fail(ErrorCode::kInternal, "not an id of a file: " + file.id.value);
  return repeatable(pool_, deadline, [&](MysqlConnection& db) -> Result<std::uint64_t> {
    Sql insert(
        "INSERT INTO file (id, shard, tenant_id, purpose, filename, state, bytes, created_at, sweep_due) "
        "VALUES (?, ?, ?, ?, ?, 'writing', 0, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL ? SECOND) "
        "ON DUPLICATE KEY UPDATE id = VALUES(id)");
    insert.bind(file.id.value)
        .bind(*shard)
        .bind(file.tenant.value)
        .bind(file.purpose)
        .bind(file.filename)
        .bind(static_cast<std::int64_t>(rules_.unfinished_after.count()));
    if (auto done = db.execute(insert, deadline); !done) return fail(std::move(done).error());
    Sql select("SELECT state = 'writing' AND tenant_id = ? FROM file WHERE id = ?");
    SLUICE_ASSIGN(const Rows rows, db.query(select.bind(file.tenant.value).bind(file.id.value), deadline));
    if (rows.empty() || rows.front().int64(0) == 0) return fail(not_writable(file.id));
    SLUICE_ASSIGN(const Extent extent, extent_of(db, file.id, deadline));
    return extent.end;
  });
}

Status MysqlFileStore::append(const NewFile& file, std::uint64_t at, std::string_view bytes,
                              Deadline deadline) {
  SLUICE_TRY(check_chunk(bytes));
  return repeatable(pool_, deadline, [&](MysqlConnection& db) -> Status {
    // Holds the row until the commit: the sweep, which marks the row first, can't miss this chunk.
    Sql touch(
        "UPDATE file SET sweep_due = UTC_TIMESTAMP(6) + INTERVAL ? SECOND "
        "WHERE id = ? AND tenant_id = ? AND state = 'writing'");
    touch.bind(static_cast<std::int64_t>(rules_.unfinished_after.count()))
        .bind(file.id.value)
        .bind(file.tenant.value);
    SLUICE_ASSIGN(const std::uint64_t found, db.execute(touch, deadline));
    if (found == 0) return fail(not_writable(file.id));
    Sql insert("INSERT INTO file_chunk (file_id, start, length, data) VALUES ");
    insert.row(file.id.value, at, static_cast<std::uint64_t>(bytes.size()), SqlBytes{bytes});
    insert.text(" ON DUPLICATE KEY UPDATE length = VALUES(length), data = VALUES(data)");
    if (auto inserted = db.execute(insert, deadline); !inserted) return fail(std::move(inserted).error());
    return {};
  });
}

Result<FileInfo> MysqlFileStore::finish(const NewFile& file, std::uint64_t bytes, Deadline deadline) {
  return repeatable(pool_, deadline,
                    [&](MysqlConnection& db) { return finish_file(db, file, bytes, deadline); });
}

Status MysqlFileStore::abandon(const NewFile& file, Deadline deadline) {
  Sql sql(
      "UPDATE file SET state = 'deleted', sweep_due = UTC_TIMESTAMP(6) "
      "WHERE id = ? AND tenant_id = ? AND state = 'writing'");
  auto done = pool_.execute(sql.bind(file.id.value).bind(file.tenant.value), deadline);
  if (!done) return fail(std::move(done).error());
  return {};
}

Result<FileInfo> MysqlFileStore::get(const TenantId& tenant, const FileId& id, Deadline deadline) {
  Sql sql(kSelectFile);
  sql.text("WHERE f.id = ? AND f.tenant_id = ? AND ").bind(id.value).bind(tenant.value).text(kVisible);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  if (rows.empty()) return fail(no_file(id));
  return read_file(rows.front());
}

Result<std::vector<FileInfo>> MysqlFileStore::list(const FileFilter& filter, Deadline deadline) {
  Sql sql(kSelectFile);
  sql.text("WHERE f.tenant_id = ? AND ").bind(filter.tenant.value).text(kVisible);
  if (!filter.purpose.empty()) sql.text(" AND f.purpose = ?").bind(filter.purpose);
  if (!filter.after.empty()) {
    sql.text(filter.newest_first ? " AND f.id < ?" : " AND f.id > ?").bind(filter.after.value);
  }
  // Ids sort by creation.
  sql.text(filter.newest_first ? " ORDER BY f.id DESC" : " ORDER BY f.id");
  sql.text(" LIMIT ?").bind(std::clamp(filter.limit, 0, kFileListMax));
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  std::vector<FileInfo> files;
  files.reserve(rows.size());
  for (const Row row : rows) files.push_back(read_file(row));
  return files;
}

Result<std::string> MysqlFileStore::read(const TenantId& tenant, const FileId& id, std::uint64_t offset,
                                         std::size_t length, Deadline deadline) {
  const std::uint64_t end = offset + std::min(length, kFileChunkBytesMax);
  // The first chunk of interest may begin up to a chunk's length before.
  const std::uint64_t from = offset - std::min<std::uint64_t>(offset, kFileChunkBytesMax - 1);
  // One statement sees the file and its chunks as of one moment: a file that is removed meanwhile, and that
  // the sweep is at, is not taken for a broken one. Without a chunk of interest there is one row, of NULLs.
  Sql sql(
      "SELECT f.bytes, GREATEST(c.start, ?), SUBSTRING(c.data, GREATEST(c.start, ?) - c.start + 1, "
      "LEAST(c.start + c.length, ?) - GREATEST(c.start, ?)) "
      "FROM file f LEFT JOIN file_chunk c ON c.file_id = ? AND c.start >= ? AND c.start < ? "
      "AND c.start + c.length > ? WHERE f.id = ? AND f.tenant_id = ? AND ");
  sql.bind(offset).bind(offset).bind(end).bind(offset);
  sql.bind(id.value).bind(from).bind(end).bind(offset);
  sql.bind(id.value).bind(tenant.value);
  sql.text(rules_.reads_removed ? kVisibleOrRemoved : kVisible).text(" ORDER BY c.start");
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  if (rows.empty()) return fail(no_file(id));
  const auto file_bytes = static_cast<std::uint64_t>(rows.front().int64(0));
  if (offset >= file_bytes) return std::string();
  const std::uint64_t expected = std::min(end, file_bytes) - offset;
  std::string bytes;
  bytes.reserve(expected);
  for (const Row row : rows) {
    if (row.is_null(1) || static_cast<std::uint64_t>(row.int64(1)) != offset + bytes.size()) break;
    bytes.append(row.text(2));
  }
  if (bytes.size() == expected) return bytes;
  return fail(ErrorCode::kCorrupt, "chunks of " + id.value + " are missing");
}

Status MysqlFileStore::remove(const TenantId& tenant, const FileId& id, Deadline deadline) {
  Sql sql(
      "UPDATE file f SET f.state = 'deleted', f.sweep_due = UTC_TIMESTAMP(6) WHERE f.id = ? AND f.tenant_id "
      "= ? AND ");
  sql.bind(id.value).bind(tenant.value).text(kVisible);
  SLUICE_ASSIGN(const std::uint64_t removed, pool_.execute(sql, deadline));
  if (removed == 0) return fail(no_file(id));
  return {};
}

Result<FileSweep> MysqlFileStore::sweep(std::span<const int> shards, Deadline deadline) {
  FileSweep done;
  if (shards.empty()) return done;
  Sql sql("SELECT id, state FROM file WHERE sweep_due <= UTC_TIMESTAMP(6)");
  if (static_cast<int>(shards.size()) < kShards) sql.text(" AND shard IN ").list(shards);
  sql.text(" ORDER BY sweep_due LIMIT ?").bind(rules_.sweep_files_max);
  SLUICE_ASSIGN(const Rows due, pool_.query(sql, deadline));
  done.more = static_cast<int>(due.size()) == rules_.sweep_files_max;
  for (const Row row : due) {
    const std::string id = row.str(0);
    const std::string_view state = row.text(1);
    if (state != "deleted") {
      // Only if nobody wrote to it meanwhile. From here on nobody can.
      Sql mark(
          "UPDATE file SET state = 'deleted', sweep_due = UTC_TIMESTAMP(6) "
          "WHERE id = ? AND state = ? AND sweep_due <= UTC_TIMESTAMP(6)");
      SLUICE_ASSIGN(const std::uint64_t marked, pool_.execute(mark.bind(id).bind(state), deadline));
      if (marked == 0) continue;
    }
    // Asked once it is removed for everybody: no further batch is made of it.
    SLUICE_ASSIGN(const bool held, is_held(id, deadline));
    if (held) {
      Sql later("UPDATE file SET sweep_due = UTC_TIMESTAMP(6) + INTERVAL ? SECOND WHERE id = ?");
      later.bind(static_cast<std::int64_t>(rules_.held_for.count())).bind(id);
      SLUICE_TRY(pool_.execute(later, deadline));
      continue;
    }
    if (state == "writing") ++done.unfinished;
    if (state == "ready") ++done.expired;
    SLUICE_ASSIGN(const bool gone, sweep_one(id, done, deadline));
    if (!gone) {
      done.more = true;
      break;
    }
  }
  return done;
}

Result<bool> MysqlFileStore::is_held(const std::string& id, Deadline deadline) {
  Sql sql(
      "SELECT 1 FROM file_batch WHERE input_file_id = ? AND (status = 'validating' OR (status IN "
      "('in_progress', 'cancelling') AND lines_in < lines_total)) LIMIT 1");
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql.bind(id), deadline));
  return !rows.empty();
}

Result<bool> MysqlFileStore::sweep_one(const std::string& id, FileSweep& done, Deadline deadline) {
  for (;;) {
    const int allowed = std::min(kChunksInStatement, rules_.sweep_chunks_max - done.chunks);
    if (allowed <= 0) return false;
    Sql chunks("DELETE FROM file_chunk WHERE file_id = ? ORDER BY start LIMIT ?");
    SLUICE_ASSIGN(const std::uint64_t taken, pool_.execute(chunks.bind(id).bind(allowed), deadline));
    done.chunks += static_cast<int>(taken);
    if (static_cast<int>(taken) < allowed) break;
  }
  SLUICE_FAILPOINT("store.sweep_before_row");
  // Last: until it is gone, the file is due and its chunks are found.
  Sql row("DELETE FROM file WHERE id = ? AND state = 'deleted'");
  if (auto removed = pool_.execute(row.bind(id), deadline); !removed) return fail(std::move(removed).error());
  ++done.files;
  return true;
}

}  // namespace sluice
