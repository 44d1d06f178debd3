#include "common/store/file_lines.h"

#include <utility>

namespace sluice {

FileLines::FileLines(FileStore& files, TenantId tenant, FileId id, std::size_t line_bytes_max,
                     std::uint64_t offset)
    : files_(files),
      tenant_(std::move(tenant)),
      id_(std::move(id)),
      line_bytes_max_(line_bytes_max),
      line_start_(offset),
      read_to_(offset) {}

Result<std::optional<FileLine>> FileLines::next(Deadline deadline) {
  for (;;) {
    const std::size_t newline = buffer_.find('\n', searched_);
    const bool found = newline != std::string::npos;
    if (found || (at_end_ && (skipping_ || used_ < buffer_.size()))) {
      const std::size_t stop = found ? newline : buffer_.size();
      std::string_view text = std::string_view(buffer_).substr(used_, stop - used_);
      if (found && text.ends_with('\r')) text.remove_suffix(1);
      FileLine line;
      line.too_long = skipping_ || text.size() > line_bytes_max_;
      if (!line.too_long) line.text = text;
      used_ = found ? newline + 1 : stop;
      searched_ = used_;
      skipping_ = false;
      line.start = line_start_;
      line.end = line_start_ = read_to_ - (buffer_.size() - used_);
      return line;
    }
    if (at_end_) return std::optional<FileLine>();
    // One byte more than the longest line may be the CR of its end.
    if (skipping_ || buffer_.size() - used_ > line_bytes_max_ + 1) {
      skipping_ = true;
      buffer_.clear();
    } else {
      buffer_.erase(0, used_);
    }
    used_ = 0;
    searched_ = buffer_.size();
    SLUICE_ASSIGN(const std::string more, files_.read(tenant_, id_, read_to_, kFileChunkBytesMax, deadline));
    read_to_ += more.size();
    at_end_ = more.size() < kFileChunkBytesMax;
    buffer_.append(more);
  }
}

}  // namespace sluice
