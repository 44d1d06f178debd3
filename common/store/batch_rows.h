// Internal to the MySQL stores: rows of `file_batch`, and what the end of a job means for the batch whose
// line it is. Lock order: jobs (by id), then for each batch (by id) its file_batch row, then its batch row.
#pragma once

#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/store/batch_store.h"
#include "common/store/job_rows.h"

namespace sluice::store {

// SELECT list and FROM clause of a batch with its counters, in the order that read_file_batch expects.
extern const char* const kSelectFileBatch;
FileBatch read_file_batch(const Row& row);
// Within the transaction that wrote it: once that is committed, nothing is left that could fail.
Result<FileBatch> read_written(MysqlConnection& db, const BatchId& id, Deadline deadline);
Error no_such_batch(const BatchId& id);

// {"count": …, "data": […]}, as column file_batch.errors has it.
std::string batch_errors_to_json(const BatchErrors& errors);

// Those of the changed jobs' batches that were made of a file.
using BatchNames = std::set<std::string, std::less<>>;
Result<BatchNames> file_batches_of(MysqlConnection& db, std::span<const Change> changes, Deadline deadline);

// Lines of one batch have ended: they get their places in the order of ends, and the batch is due to be
// closed with its last one. Call after their states were written and before the counters of `batch`.
Status end_lines(MysqlConnection& db, const DbNow& now, const std::string& batch,
                 std::span<const Change* const> ends, Deadline deadline);

// Ended jobs of one batch are queued again: which, and how they had ended.
struct Reopened {
  std::vector<std::string> job_ids;
  int failed = 0;
  int dead = 0;
  int cancelled = 0;
  int expired = 0;
  void add(const Job& job);
};
// By batch. Writes the counters of `batch` too; a batch of a file that had ended gets a further revision.
Status reopen_lines(MysqlConnection& db, const DbNow& now, const std::map<std::string, Reopened>& batches,
                    Deadline deadline);

// Queues ended jobs again as their next generation, due at once, with so long to end in; their letters count
// as redriven. Leaves the batches to reopen_lines().
Status requeue_jobs(MysqlConnection& db, const DbNow& now, std::span<const std::string_view> ids,
                    int attempts_max, std::int64_t lifetime_s, std::string_view operation_id,
                    Deadline deadline);

// The event of a batch that has come to this final status.
Status write_batch_event(MysqlConnection& db, const DbNow& now, const BatchId& id, const TenantId& tenant,
                         std::int64_t revision, BatchStatus status, IdMaker& ids, Deadline deadline);

}  // namespace sluice::store
