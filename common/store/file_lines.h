// Reads a stored file line by line (JSONL), a chunk at a time, from any position on.
//
// For one owner, its thread. The store must outlive it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/store/file_store.h"

namespace sluice {

struct FileLine {
  std::string text;         // Without its line end (LF or CRLF). A line that is too long: empty.
  bool too_long = false;    // Over the limit; it was skipped.
  std::uint64_t start = 0;  // Where it begins in the file,
  std::uint64_t end = 0;    // and where the next one does: go on from there after an interruption.
};

class FileLines {
 public:
  // From `offset`, which is where a line begins. `line_bytes_max`: longest line, without its end.
  FileLines(FileStore& files, TenantId tenant, FileId id, std::size_t line_bytes_max,
            std::uint64_t offset = 0);

  // The next line; nothing after the last one, which needs no line end. After an error the same call may be
  // made again.
  Result<std::optional<FileLine>> next(Deadline deadline);

 private:
  FileStore& files_;
  const TenantId tenant_;
  const FileId id_;
  const std::size_t line_bytes_max_;
  std::string buffer_;  // Read, and not given out yet from `used_` on.
  std::size_t used_ = 0;
  std::size_t searched_ = 0;  // No line end before this.
  std::uint64_t line_start_;  // Position in the file of the line that is being read.
  std::uint64_t read_to_;     // Position in the file after `buffer_`.
  bool skipping_ = false;     // The line that is being read is too long: its bytes are dropped.
  bool at_end_ = false;
};

}  // namespace sluice
