// FileStore on MySQL or MariaDB: a row of `file`, and one of `file_chunk` for each chunk. `pool` must outlive
// it.
#pragma once

#include <chrono>

#include "common/mysql/mysql.h"
#include "common/store/file_store.h"

namespace sluice {

struct FileRules {
  // An unfinished file that was not written to for this long is swept. Longer than any writer pauses.
  std::chrono::seconds unfinished_after{24 * 3600};
  int sweep_files_max = 16;   // Looked at by one step of the sweep.
  int sweep_chunks_max = 64;  // Taken away by one step, in statements of 8.
  // The sweep passes over files that a batch still reads, for so long.
  std::chrono::seconds held_for{60};
  // For whoever reads the files that batches were made of: read() also finds one that was removed or has
  // expired.
  bool reads_removed = false;
};

// FileStore::finish inside the caller's transaction, so that files and what tells of them appear together.
// Errors as there; the caller then rolls back.
Result<FileInfo> finish_file(MysqlConnection& db, const NewFile& file, std::uint64_t bytes,
                             Deadline deadline);

class MysqlFileStore final : public FileStore {
 public:
  explicit MysqlFileStore(MysqlPool& pool, FileRules rules = {}) : pool_(pool), rules_(rules) {}

  Result<std::uint64_t> begin(const NewFile& file, Deadline deadline) override;
  Status append(const NewFile& file, std::uint64_t at, std::string_view bytes, Deadline deadline) override;
  Result<FileInfo> finish(const NewFile& file, std::uint64_t bytes, Deadline deadline) override;
  Status abandon(const NewFile& file, Deadline deadline) override;
  Result<FileInfo> get(const TenantId& tenant, const FileId& id, Deadline deadline) override;
  Result<std::vector<FileInfo>> list(const FileFilter& filter, Deadline deadline) override;
  Result<std::string> read(const TenantId& tenant, const FileId& id, std::uint64_t offset, std::size_t length,
                           Deadline deadline) override;
  Status remove(const TenantId& tenant, const FileId& id, Deadline deadline) override;
  Result<FileSweep> sweep(std::span<const int> shards, Deadline deadline) override;

 private:
  // A batch was made of it whose lines are not all jobs yet.
  Result<bool> is_held(const std::string& id, Deadline deadline);
  // Takes one due file's chunks and then its row; false: `chunks_left` did not last.
  Result<bool> sweep_one(const std::string& id, FileSweep& done, Deadline deadline);

  MysqlPool& pool_;
  const FileRules rules_;
};

}  // namespace sluice
