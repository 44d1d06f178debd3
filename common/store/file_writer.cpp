#include "common/store/file_writer.h"

#include <algorithm>

namespace sluice {

Result<FileWriter> FileWriter::open(FileStore& files, NewFile file, Deadline deadline) {
  SLUICE_ASSIGN(const std::uint64_t written, files.begin(file, deadline));
  return FileWriter(files, std::move(file), written);
}

Status FileWriter::write(std::string_view bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const std::size_t taken = std::min(bytes.size(), kFileChunkBytesMax - held_.size());
    held_.append(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    if (held_.size() == kFileChunkBytesMax) SLUICE_TRY(flush(deadline));
  }
  return {};
}

Status FileWriter::flush(Deadline deadline) {
  if (held_.empty()) return {};
  SLUICE_TRY(files_->append(file_, written_, held_, deadline));
  written_ += held_.size();
  held_.clear();
  return {};
}

Result<FileInfo> FileWriter::finish(Deadline deadline) {
  SLUICE_TRY(flush(deadline));
  return files_->finish(file_, written_, deadline);
}

}  // namespace sluice
