#include "common/store/batch_rows.h"

#include <array>
#include <nlohmann/json.hpp>

#include "common/base/check.h"

namespace sluice {

namespace {
constexpr std::array<std::string_view, 8> kStatusNames = {
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"};
}

std::string_view batch_status_name(BatchStatus status) {
  return kStatusNames[static_cast<std::size_t>(status)];
}

std::optional<BatchStatus> batch_status_from(std::string_view name) {
  for (std::size_t i = 0; i < kStatusNames.size(); ++i) {
    if (kStatusNames[i] == name) return static_cast<BatchStatus>(i);
  }
  return std::nullopt;
}

bool is_final(BatchStatus status) {
  return status == BatchStatus::kFailed || status == BatchStatus::kCompleted ||
         status == BatchStatus::kExpired || status == BatchStatus::kCancelled;
}

namespace store {

using nlohmann::json;

const char* const kSelectFileBatch =
    "SELECT f.id, f.tenant_id, f.endpoint, f.input_file_id, f.completion_window, f.window_s, f.priority, "  // 0-6
    "f.callback_url, f.metadata, f.output_expires_s, f.status, f.errors, f.lines_total, f.lines_in, "  // 7-13
    "f.next_byte, f.open_lines, b.succeeded, b.failed + b.dead + b.cancelled + b.expired, "  // 14-17
    "f.prompt_tokens, f.cached_tokens, f.completion_tokens, f.reasoning_tokens, f.revision, "  // 18-22
    "f.output_file_id, f.error_file_id, f.paused_at IS NOT NULL, f.retried_to, "  // 23-26
    SLUICE_MICROS("f.created_at") ", " SLUICE_MICROS("f.in_progress_at") ", " SLUICE_MICROS(
        "f.expires_at") ", " SLUICE_MICROS("f.finalizing_at") ", " SLUICE_MICROS("f.completed_at") ", "  // 27-31
    SLUICE_MICROS("f.failed_at") ", " SLUICE_MICROS("f.expired_at") ", " SLUICE_MICROS(
        "f.cancelling_at") ", " SLUICE_MICROS("f.cancelled_at") ", f.next_line, f.moved_to, "  // 32-37
    "f.callback_lines, f.callback_seconds "  // 38-39
    "FROM file_batch f JOIN batch b ON b.id = f.id ";

namespace {

BatchErrors read_errors(std::string_view text) {
  BatchErrors errors;
  if (text.empty()) return errors;
  const json in = json::parse(text, nullptr, false);
  if (!in.is_object()) return errors;
  errors.count = in.value("count", std::int64_t{0});
  for (const json& one : in.value("data", json::array())) {
    errors.kept.push_back(
        {one.value("code", ""), one.value("message", ""), one.value("param", ""), one.value("line", 0)});
  }
  return errors;
}

}  // namespace

std::string batch_errors_to_json(const BatchErrors& errors) {
  json data = json::array();
  for (const BatchError& one : errors.kept) {
    data.push_back({{"code", one.code}, {"message", one.message}, {"param", one.param}, {"line", one.line}});
  }
  // Messages may quote a client's bytes.
  return json{{"count", errors.count}, {"data", std::move(data)}}.dump(-1, ' ', false,
                                                                       json::error_handler_t::replace);
}

FileBatch read_file_batch(const Row& row) {
  FileBatch batch;
  NewFileBatch& asked = batch.asked;
  asked.id.value = row.str(0);
  asked.tenant.value = row.str(1);
  asked.endpoint = row.str(2);
  asked.input_file_id.value = row.str(3);
  asked.window = row.str(4);
  asked.window_s = row.int64(5);
  asked.priority = static_cast<Priority>(row.int64(6));
  asked.callback_url = row.str_or(7, "");
  asked.callback_lines = static_cast<int>(row.int64_or(38, 0));
  asked.callback_seconds = static_cast<int>(row.int64_or(39, 0));
  asked.metadata_json = row.str_or(8, "");
  asked.output_expires_s = row.int64_or_null(9);
  const auto status = batch_status_from(row.text(10));
  SLUICE_CHECK(status.has_value());
  batch.status = *status;
  batch.errors = read_errors(row.str_or(11, ""));
  batch.lines_total = row.int64(12);
  batch.lines_in = row.int64(13);
  batch.next_byte = static_cast<std::uint64_t>(row.int64(14));
  batch.open_lines = row.int64(15);
  batch.succeeded = row.int64(16);
  batch.not_succeeded = row.int64(17);
  batch.usage = {row.int64(18), row.int64(19), row.int64(20), row.int64(21)};
  batch.revision = row.int64(22);
  batch.output_file_id.value = row.str_or(23, "");
  batch.error_file_id.value = row.str_or(24, "");
  batch.paused = row.int64(25) != 0;
  batch.retried_to = row.str_or_null(26);
  batch.created_us = row.int64(27);
  batch.in_progress_us = row.int64(28);
  batch.expires_us = row.int64(29);
  batch.finalizing_us = row.int64(30);
  batch.completed_us = row.int64(31);
  batch.failed_us = row.int64(32);
  batch.expired_us = row.int64(33);
  batch.cancelling_us = row.int64(34);
  batch.cancelled_us = row.int64(35);
  batch.next_line = row.int64(36);
  batch.moved_to = row.str_or_null(37);
  return batch;
}

Result<FileBatch> read_written(MysqlConnection& db, const BatchId& id, Deadline deadline) {
  Sql sql(kSelectFileBatch);
  SLUICE_ASSIGN(const Rows rows, db.query(sql.text("WHERE f.id = ?").bind(id.value), deadline));
  if (rows.empty()) return fail(no_such_batch(id));
  return read_file_batch(rows.front());
}

Error no_such_batch(const BatchId& id) {
  return {ErrorCode::kNotFound, "no batch with id " + id.value};
}

Result<BatchNames> file_batches_of(MysqlConnection& db, std::span<const Change> changes, Deadline deadline) {
  BatchNames named;
  for (const Change& change : changes) {
    const std::string& batch = change.locked->job.batch_id.value;
    if (!batch.empty() && is_final(change.to)) named.insert(batch);
  }
  BatchNames found;
  if (named.empty()) return found;
  Sql sql("SELECT id FROM file_batch WHERE id IN ");
  SLUICE_ASSIGN(const Rows rows, db.query(sql.list(named), deadline));
  for (const Row row : rows) found.insert(row.str(0));
  return found;
}

Status end_lines(MysqlConnection& db, const DbNow& now, const std::string& batch,
                 std::span<const Change* const> ends, Deadline deadline) {
  Sql lock("SELECT next_seq FROM file_batch WHERE id = ? FOR UPDATE");
  SLUICE_ASSIGN(const Rows rows, db.query(lock.bind(batch), deadline));
  if (rows.empty()) return {};
  // From here to the commit nobody else gives out numbers: they become visible in their order.
  std::int64_t seq = rows.front().int64(0);
  BatchUsage usage;
  Sql number("UPDATE batch_line SET seq = CASE job_id");
  std::vector<std::string_view> ids;
  for (const Change* end : ends) {
    const std::string& id = end->locked->job.id.value;
    number.text(" WHEN ").param(id).text(" THEN ").param(seq++);
    ids.push_back(id);
    if (!end->result) continue;
    usage.prompt_tokens += end->result->prompt_tokens;
    usage.cached_tokens += end->result->cached_tokens;
    usage.completion_tokens += end->result->completion_tokens;
    usage.reasoning_tokens += end->result->reasoning_tokens;
  }
  number.text(" END WHERE job_id IN ").list(ids);
  // A line whose row is missing ends without a number: its job and those that end with it are not held up.
  // The batch is: whoever makes its files counts their lines, and says that one is missing.
  SLUICE_TRY(db.execute(number, deadline));
  const auto count = static_cast<std::int64_t>(ends.size());
  // Columns are set from left to right. A retry that is still queueing lines closes the batch itself.
  Sql update(
      "UPDATE file_batch SET close_due = IF(open_lines = ? AND retried_to IS NULL, ?, close_due), "
      "open_lines = open_lines - ?, next_seq = next_seq + ?, prompt_tokens = prompt_tokens + ?, "
      "cached_tokens = cached_tokens + ?, completion_tokens = completion_tokens + ?, "
      "reasoning_tokens = reasoning_tokens + ? WHERE id = ?");
  update.bind(count).bind(now.text).bind(count).bind(count);
  update.bind(usage.prompt_tokens).bind(usage.cached_tokens).bind(usage.completion_tokens);
  update.bind(usage.reasoning_tokens).bind(batch);
  SLUICE_TRY(db.execute(update, deadline));
  return {};
}

void Reopened::add(const Job& job) {
  job_ids.push_back(job.id.value);
  switch (job.state) {
    case JobState::kFailed:
      ++failed;
      break;
    case JobState::kDead:
      ++dead;
      break;
    case JobState::kCancelled:
      ++cancelled;
      break;
    case JobState::kExpired:
      ++expired;
      break;
    default:
      SLUICE_CHECK(false);
  }
}

Status reopen_lines(MysqlConnection& db, const DbNow& now, const std::map<std::string, Reopened>& batches,
                    Deadline deadline) {
  for (const auto& [batch, reopened] : batches) {  // Sorted: batches are locked in one order.
    // Files that are being made of it are no longer its own: their writer finds other ids here, or none.
    Sql update(
        "UPDATE file_batch SET revision = revision + (status IN ('completed', 'expired', 'cancelled', "
        "'failed')), "
        "work_due = IF(status = 'cancelling', ?, work_due), "
        "status = IF(status = 'cancelling', status, 'in_progress'), open_lines = open_lines + ?, close_due = "
        "NULL, "
        "closing_output_id = NULL, closing_error_id = NULL, finalizing_at = NULL, completed_at = NULL, "
        "failed_at = NULL, expired_at = NULL, cancelled_at = NULL, "
        "cancelling_at = IF(status = 'cancelling', cancelling_at, NULL) WHERE id = ?");
    update.bind(now.text).bind(reopened.job_ids.size()).bind(batch);
    auto updated = db.execute(update, deadline);
    if (!updated) return fail(updated.error());
    if (*updated > 0) {
      Sql lines("UPDATE batch_line SET seq = NULL WHERE job_id IN ");
      SLUICE_TRY(db.execute(lines.list(reopened.job_ids), deadline));
    }
    Sql counters(
        "UPDATE batch SET dead = dead - ?, failed = failed - ?, cancelled = cancelled - ?, expired = expired "
        "- ? WHERE id = ?");
    counters.bind(reopened.dead).bind(reopened.failed).bind(reopened.cancelled).bind(reopened.expired);
    SLUICE_TRY(db.execute(counters.bind(batch), deadline));
  }
  return {};
}

Status requeue_jobs(MysqlConnection& db, const DbNow& now, std::span<const std::string_view> ids,
                    int attempts_max, std::int64_t lifetime_s, std::string_view operation_id,
                    Deadline deadline) {
  Sql update(
      "UPDATE job SET state = 'queued', generation = generation + 1, attempt = 0, attempts_max = ?, "
      "attempts_forgiven = 0, lapsed_starts = 0, started_at = NULL, finished_at = NULL, published_at = NULL, "
      "publishes = 0, publish_due = ?, expires_at = ? + INTERVAL ? SECOND, expire_due = ? + INTERVAL ? "
      "SECOND, error_code = NULL, error_type = NULL, error_param = NULL, error_message = NULL WHERE id IN ");
  update.bind(attempts_max).bind(now.text).bind(now.text).bind(lifetime_s).bind(now.text).bind(lifetime_s);
  SLUICE_TRY(db.execute(update.list(ids), deadline));
  Sql letters(
      "UPDATE dead_letter SET state = 'redriven', handled_at = ?, operation_id = ?, expires_in_s = ?, "
      "copy_due = ? WHERE state = 'dead' AND job_id IN ");
  letters.bind(now.text).bind(null_if_empty(operation_id)).bind(lifetime_s).bind(now.text);
  SLUICE_TRY(db.execute(letters.list(ids), deadline));
  return {};
}

Status write_batch_event(MysqlConnection& db, const DbNow& now, const BatchId& id, const TenantId& tenant,
                         std::int64_t revision, BatchStatus status, IdMaker& ids, Deadline deadline) {
  SLUICE_CHECK(is_final(status));
  const int shard = shard_of_tenant(tenant);
  Sql sql(
      "INSERT INTO event (id, shard, tenant_id, job_id, generation, type, created_at, publish_due) VALUES ");
  sql.row(ids.make<EventId>(shard).value, shard, tenant.value, id.value, revision,
          "batch." + std::string(batch_status_name(status)), now.text, now.text);
  SLUICE_TRY(db.execute(sql, deadline));
  return {};
}

}  // namespace store

}  // namespace sluice
