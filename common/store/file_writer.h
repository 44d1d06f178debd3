// Writes a file from bytes as they come, in whole chunks: what is held in memory is one chunk at most.
//
// For one owner, its thread. The store must outlive it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/store/file_store.h"

namespace sluice {

class FileWriter {
 public:
  // Begins the file, or goes on with one that was begun before with this id.
  static Result<FileWriter> open(FileStore& files, NewFile file, Deadline deadline);

  // Bytes written before open() and since, those that are still held back included.
  std::uint64_t bytes() const { return written_ + held_.size(); }
  // Purpose, filename and expiry may still change; they count when the file is finished.
  NewFile& file() { return file_; }
  const NewFile& file() const { return file_; }

  // After an error: give the file up, or open it anew and go on from what it then says is written.
  Status write(std::string_view bytes, Deadline deadline);
  // Writes what is held back: before finish_file() in a transaction of one's own.
  Status flush(Deadline deadline);
  // Flushes and makes the file visible.
  Result<FileInfo> finish(Deadline deadline);
  Status abandon(Deadline deadline) { return files_->abandon(file_, deadline); }

 private:
  FileWriter(FileStore& files, NewFile file, std::uint64_t written)
      : files_(&files), file_(std::move(file)), written_(written) {}

  FileStore* files_;
  NewFile file_;
  std::uint64_t written_;
  std::string held_;
};

}  // namespace sluice
