// Closing a batch whose lines have all ended: one process at a time claims it, writes its files, and makes
// them visible together with its last status. A claim chooses the files' ids and stores them first; whoever
// holds other ids than the batch has lost it, and gives its files up.
//
// Safe for concurrent use, by several processes too. Errors as in job_store.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "common/store/batch_store.h"
#include "common/store/file_store.h"

namespace sluice {

struct ClosingBatch {
  FileBatch batch;
  FileId output_id;  // To be written under: lines that succeeded,
  FileId error_id;   // and those that did not.
  // An earlier claim's, which nobody writes any more: to be given up. Empty: there was none.
  FileId abandoned_output_id;
  FileId abandoned_error_id;
};

struct WrittenFile {
  NewFile file;
  std::uint64_t bytes = 0;
};

class BatchClosing {
 public:
  // Both must outlive this.
  BatchClosing(MysqlPool& pool, IdMaker& ids) : pool_(pool), ids_(ids) {}

  // The batch that has waited longest, now finalizing (or cancelling, as it was); nothing: none waits. For
  // `hold` nobody else gets it.
  Result<std::optional<ClosingBatch>> claim(std::chrono::milliseconds hold, Deadline deadline);
  // Keeps the claim for another `hold`. kConflict: it is lost.
  Status keep(const ClosingBatch& claimed, std::chrono::milliseconds hold, Deadline deadline);
  // Gives the claim back: somebody else may have it at once.
  Status release(const ClosingBatch& claimed, Deadline deadline);
  // The files become visible, the batch gets its last status, and the event says so: all in one transaction.
  // A file without lines is not given. kConflict: the claim is lost.
  Result<BatchStatus> close(const ClosingBatch& claimed, const std::optional<WrittenFile>& output,
                            const std::optional<WrittenFile>& errors, Deadline deadline);

 private:
  MysqlPool& pool_;
  IdMaker& ids_;
};

}  // namespace sluice
