// What moves a batch on until its last line has ended: its file's lines become jobs, or are refused; a
// cancellation and a retry reach all of its lines. Each step is one transaction that carries the batch's
// progress with it, conditional on where the batch stood, so that a step may be repeated or raced after any
// interruption.
//
// Safe for concurrent use, by several processes too. Errors as in job_store.h; kConflict: the batch moved on,
// look again.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "common/store/batch_closing.h"
#include "common/store/batch_store.h"
#include "common/store/job_store.h"

namespace sluice {

namespace store {
struct DbNow;
}

struct NewLine {
  std::int64_t line_no = 0;
  std::string custom_id;
  NewJob job;  // Without times: it expires with its batch.
  // It was good when the file was checked and is no more (its model is gone): ends at once as failed.
  std::optional<JobError> refused;
};

// Where a line of a file begins.
struct FilePlace {
  std::int64_t line = 1;
  std::uint64_t byte = 0;
};

class BatchWork {
 public:
  // Both must outlive this. `rules` are those of the job store.
  BatchWork(MysqlPool& pool, IdMaker& ids, JobRules rules) : pool_(pool), ids_(ids), rules_(rules) {}

  // Batches that want something done, longest waiting first: those whose files are still to be checked (one
  // of each tenant), or the others.
  Result<std::vector<FileBatch>> due(std::span<const int> shards, bool validating, int limit,
                                     Deadline deadline);
  // A step failed: others get their turn first.
  Status put_off(const BatchId& id, std::chrono::milliseconds time, Deadline deadline);

  // While it is validated. The file is bad: ends as failed, with its event. `report`, if given, becomes its
  // error file.
  Status refuse(const FileBatch& batch, const BatchErrors& errors, const std::optional<WrittenFile>& report,
                Deadline deadline);
  // The file is good and has so many lines: they may go in.
  Status accept(const BatchId& id, std::int64_t lines, Deadline deadline);

  // The next lines become jobs (of a batch that is being cancelled: cancelled ones); the file was read up to
  // `read_to`. `batch` as it was read: kConflict if others went in since.
  Status add_lines(const FileBatch& batch, std::span<const NewLine> lines, FilePlace read_to,
                   Deadline deadline);
  // The file is gone before all lines were in: the batch has only those that are, and will end as failed.
  Status lose_input(const FileBatch& batch, const BatchError& error, Deadline deadline);
  // Cancels up to `limit` of its jobs that come after `from`, which goes on with each step and is empty at
  // first. True: none is left; if all its lines are in, the batch wants no more done.
  Result<bool> cancel_some(const FileBatch& batch, JobId& from, int limit, Deadline deadline);
  // Holds back up to `limit` of a paused batch's queued jobs, or lets those of a resumed one go; true: it was
  // the last. While they are held back they cost the dispatcher nothing, however many they are. The few that
  // the broker has come back when a worker meets them.
  Result<bool> move_some(const FileBatch& batch, int limit, Deadline deadline);
  // Looks at up to `limit` of its jobs and queues those again that did not succeed, but for lines that were
  // refused as they went in; true: it was the last.
  Result<bool> retry_some(const FileBatch& batch, int limit, Deadline deadline);

 private:
  // Ends at once what need not run: lines that are refused, and all if the batch is being cancelled.
  Status end_unwanted(MysqlConnection& db, const store::DbNow& now, std::span<const NewLine> lines,
                      bool cancelling, Deadline deadline);
  Result<bool> end_unstarted(const FileBatch& batch, Deadline deadline);

  MysqlPool& pool_;
  IdMaker& ids_;
  const JobRules rules_;
};

}  // namespace sluice
