// Files of tenants: what they upload, and what is written for them. A file's contents lie in chunks, and
// nobody but its writer sees any of it before finish() made it visible in one step. Contents never change
// afterwards.
//
// Safe for concurrent use; one file has one writer at a time. Sizes and positions are bytes. Errors as in
// job_store.h, and:
//   kNotFound  there is no such visible file, it has expired, or it is another tenant's
//   kConflict  the file is not being written (any more): finished, abandoned, or swept
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ids/file_id.h"
#include "common/ids/ids.h"
#include "common/store/idempotency_store.h"

namespace sluice {

// Longest chunk: a statement with it stays far below the least max_allowed_packet, as does a transaction.
inline constexpr std::size_t kFileChunkBytesMax = std::size_t{1} << 20;
inline constexpr std::size_t kFileNameCharactersMax = 255;
inline constexpr int kFileListMax = 10'000;

struct NewFile {
  FileId id;
  TenantId tenant;
  std::string purpose;                       // Visible ASCII, at most 32 bytes.
  std::string filename;                      // UTF-8, at most kFileNameCharactersMax.
  std::optional<std::int64_t> expires_in_s;  // From when it was begun; none: it stays until it is removed.
  std::optional<IdempotencyClaim> claim = std::nullopt;  // Made in the transaction that finishes it.
};

struct FileInfo {
  FileId id;
  TenantId tenant;
  std::string purpose;
  std::string filename;
  std::uint64_t bytes = 0;
  std::int64_t created_us = 0;  // When it was begun, microseconds since 1970.
  std::int64_t expires_us = 0;  // 0: never.
};

struct FileFilter {
  TenantId tenant;
  std::string purpose;  // Empty: any.
  FileId after;         // Empty: from the start. The file itself need not be there any more.
  bool newest_first = true;
  int limit = kFileListMax;  // At most kFileListMax.
};

// What one step of sweep() did.
struct FileSweep {
  int unfinished = 0;  // Files given up because their writer was not heard of for long.
  int expired = 0;     // Files whose time was over.
  int files = 0;       // Gone for good: these, removed and abandoned ones.
  int chunks = 0;
  bool more = false;  // Something that is due is left.
};

class FileStore {
 public:
  virtual ~FileStore() = default;

  // Makes the invisible file, or finds what an earlier begin() with this id and tenant made: the answer is
  // how much of it is written (0 for a new one), where append() goes on.
  virtual Result<std::uint64_t> begin(const NewFile& file, Deadline deadline) = 0;
  // Writes `bytes` (1 to kFileChunkBytesMax) at `at`; chunks come in order and without gaps. The same again
  // changes nothing, so that a chunk with an unknown outcome is simply repeated.
  virtual Status append(const NewFile& file, std::uint64_t at, std::string_view bytes, Deadline deadline) = 0;
  // Makes the file visible, with purpose, filename and expiry as they are given here: they may have come
  // after the contents. The same again answers the same. kConflict: also if its claim's key is taken; it is
  // still being written then. kCorrupt: the chunks are not `bytes` in all.
  // finish_file() in mysql_file_store.h does it within another transaction.
  virtual Result<FileInfo> finish(const NewFile& file, std::uint64_t bytes, Deadline deadline) = 0;
  // Gives an unfinished file up; the sweep takes its chunks. Success also if there is none.
  virtual Status abandon(const NewFile& file, Deadline deadline) = 0;

  virtual Result<FileInfo> get(const TenantId& tenant, const FileId& id, Deadline deadline) = 0;
  virtual Result<std::vector<FileInfo>> list(const FileFilter& filter, Deadline deadline) = 0;
  // Up to `length` bytes (at most kFileChunkBytesMax) from `offset`; fewer only at the file's end, none at or
  // past it. kCorrupt: chunks are missing.
  virtual Result<std::string> read(const TenantId& tenant, const FileId& id, std::uint64_t offset,
                                   std::size_t length, Deadline deadline) = 0;
  // Invisible at once; the sweep takes the chunks.
  virtual Status remove(const TenantId& tenant, const FileId& id, Deadline deadline) = 0;

  // One bounded step of taking away what nobody can see any more, in these shards: removed and abandoned
  // files, expired ones, and unfinished ones that were not written to for long. May run anywhere and twice.
  virtual Result<FileSweep> sweep(std::span<const int> shards, Deadline deadline) = 0;
};

}  // namespace sluice
