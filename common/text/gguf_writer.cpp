#include "common/text/gguf_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "common/base/check.h"
#include "common/text/gguf_parse.h"

namespace sluice {
namespace {

constexpr std::uint32_t kVersion = 3;
constexpr std::size_t kBufferBytes = 1 << 20;

template <class T>
void put(std::vector<std::byte>& out, const T& value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

void put_bytes(std::vector<std::byte>& out, std::string_view text) {
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  out.insert(out.end(), bytes, bytes + text.size());
}

void put_string(std::vector<std::byte>& out, std::string_view text) {
  put(out, static_cast<std::uint64_t>(text.size()));
  put_bytes(out, text);
}

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

tl::unexpected<Error> system_error(const std::string& doing) {
  return fail(ErrorCode::kUnavailable, doing + ": " + std::strerror(errno));
}

tl::unexpected<Error> out_of_order() {
  return fail(ErrorCode::kInternal,
              "a GGUF writer's header was changed after begin(), or begin() is missing");
}

}  // namespace

// A file that disappears unless it is published.
class GgufWriter::TemporaryFile {
 public:
  TemporaryFile(int fd, std::string path, std::string target)
      : fd_(fd), path_(std::move(path)), target_(std::move(target)) {
    buffer_.reserve(kBufferBytes);
  }
  ~TemporaryFile() {
    if (fd_ >= 0) ::close(fd_);
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  std::uint64_t position() const { return position_; }

  Status write(std::span<const std::byte> bytes) {
    position_ += bytes.size();
    if (buffer_.size() + bytes.size() <= kBufferBytes) {
      buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
      return {};
    }
    SLUICE_TRY(flush());
    return write_through(bytes);
  }

  Status publish() {
    SLUICE_TRY(flush());
    if (::fsync(fd_) != 0) return system_error("can't sync " + path_);
    const int fd = std::exchange(fd_, -1);
    if (::close(fd) != 0) return system_error("can't close " + path_);
    if (::rename(path_.c_str(), target_.c_str()) != 0) {
      return system_error("can't rename " + path_ + " to " + target_);
    }
    path_.clear();
    // The rename itself must survive a power cut as well.
    const int folder = ::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return system_error("can't open the folder of " + target_);
    const int synced = ::fsync(folder);
    ::close(folder);
    if (synced != 0) return system_error("can't sync the folder of " + target_);
    return {};
  }

 private:
  Status flush() {
    SLUICE_TRY(write_through(buffer_));
    buffer_.clear();
    return {};
  }

  Status write_through(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return system_error("can't write " + path_);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return {};
  }

  int fd_;
  std::string path_;
  std::string target_;
  std::vector<std::byte> buffer_;
  std::uint64_t position_ = 0;
};

GgufWriter::GgufWriter() : alignment_(kGgufAlignmentDefault) {}
GgufWriter::~GgufWriter() = default;

void GgufWriter::copy_metadata(const GgufFile& source) {
  SLUICE_CHECK(!file_ && entries_.empty());
  entries_.reserve(source.entries().size());
  for (const GgufEntry& entry : source.entries()) {
    entries_.push_back(Entry{std::string(entry.key), static_cast<std::uint32_t>(entry.type),
                             std::vector<std::byte>(entry.payload.begin(), entry.payload.end())});
  }
  alignment_ = source.alignment();
}

Status GgufWriter::set(std::string_view key, GgufValueType type, std::vector<std::byte> payload) {
  if (file_) return out_of_order();
  if (key.empty() || key.size() > kGgufKeyBytesMax) {
    return fail(ErrorCode::kInvalid, "a metadata key of " + std::to_string(key.size()) + " bytes");
  }
  if (key == "general.alignment") {
    std::uint32_t value = 0;
    if (type != GgufValueType::kU32) return fail(ErrorCode::kInvalid, "general.alignment must be a u32");
    std::memcpy(&value, payload.data(), sizeof value);
    if (!gguf_alignment_valid(value)) {
      return fail(ErrorCode::kInvalid, "general.alignment can't be " + std::to_string(value));
    }
    alignment_ = value;
  }
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.key == key; });
  Entry& entry = found != entries_.end() ? *found : entries_.emplace_back(Entry{std::string(key), 0, {}});
  entry.type = static_cast<std::uint32_t>(type);
  entry.payload = std::move(payload);
  return {};
}

Status GgufWriter::set_string(std::string_view key, std::string_view value) {
  std::vector<std::byte> payload;
  put_string(payload, value);
  return set(key, GgufValueType::kString, std::move(payload));
}

Status GgufWriter::set_u32(std::string_view key, std::uint32_t value) {
  std::vector<std::byte> payload;
  put(payload, value);
  return set(key, GgufValueType::kU32, std::move(payload));
}

Status GgufWriter::set_u64(std::string_view key, std::uint64_t value) {
  std::vector<std::byte> payload;
  put(payload, value);
  return set(key, GgufValueType::kU64, std::move(payload));
}

Status GgufWriter::set_f32(std::string_view key, float value) {
  std::vector<std::byte> payload;
  put(payload, value);
  return set(key, GgufValueType::kF32, std::move(payload));
}

Status GgufWriter::set_bool(std::string_view key, bool value) {
  std::vector<std::byte> payload;
  put(payload, static_cast<std::uint8_t>(value ? 1 : 0));
  return set(key, GgufValueType::kBool, std::move(payload));
}

Status GgufWriter::set_strings(std::string_view key, std::span<const std::string> values) {
  std::vector<std::byte> payload;
  put(payload, static_cast<std::uint32_t>(GgufValueType::kString));
  put(payload, static_cast<std::uint64_t>(values.size()));
  for (const std::string& value : values) put_string(payload, value);
  return set(key, GgufValueType::kArray, std::move(payload));
}

Status GgufWriter::set_i32s(std::string_view key, std::span<const std::int32_t> values) {
  std::vector<std::byte> payload;
  put(payload, static_cast<std::uint32_t>(GgufValueType::kI32));
  put(payload, static_cast<std::uint64_t>(values.size()));
  for (const std::int32_t value : values) put(payload, value);
  return set(key, GgufValueType::kArray, std::move(payload));
}

Status GgufWriter::set_f32s(std::string_view key, std::span<const float> values) {
  std::vector<std::byte> payload;
  put(payload, static_cast<std::uint32_t>(GgufValueType::kF32));
  put(payload, static_cast<std::uint64_t>(values.size()));
  for (const float value : values) put(payload, value);
  return set(key, GgufValueType::kArray, std::move(payload));
}

void GgufWriter::remove(std::string_view key) {
  if (file_) return;
  if (key == "general.alignment") alignment_ = kGgufAlignmentDefault;
  std::erase_if(entries_, [&](const Entry& entry) { return entry.key == key; });
}

Status GgufWriter::add_tensor(std::string_view name, GgmlType type, std::span<const std::uint64_t> ne) {
  if (file_) return out_of_order();
  const auto refuse = [&](std::string_view why) {
    return fail(ErrorCode::kInvalid, "tensor " + gguf_quoted(name) + ": " + std::string(why));
  };
  if (name.empty() || name.size() > kGgufTensorNameBytesMax) return refuse("its name is empty or too long");
  if (ne.empty() || ne.size() > 4) return refuse("it needs 1 to 4 dimensions");
  std::uint64_t values = 1;
  for (const std::uint64_t n : ne) {
    if (n == 0 || __builtin_mul_overflow(values, n, &values) ||
        values > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return refuse("its dimensions are zero or too large");
    }
  }
  const GgmlTypeTraits& traits = ggml_type_traits(type);
  if (ne[0] % traits.values != 0) return refuse("its rows are no whole number of blocks");
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(values / traits.values, traits.bytes, &bytes)) return refuse("it is too large");
  const bool twice = std::any_of(tensors_.begin(), tensors_.end(),
                                 [&](const Tensor& tensor) { return tensor.name == name; });
  if (twice) return refuse("it was added before");
  tensors_.push_back(Tensor{std::string(name), type, {ne.begin(), ne.end()}, bytes, 0});
  return {};
}

Status GgufWriter::begin(const std::string& path) {
  if (file_) return out_of_order();
  std::vector<std::byte> header;
  put_bytes(header, "GGUF");
  put(header, kVersion);
  put(header, static_cast<std::uint64_t>(tensors_.size()));
  put(header, static_cast<std::uint64_t>(entries_.size()));
  for (const Entry& entry : entries_) {
    put_string(header, entry.key);
    put(header, entry.type);
    header.insert(header.end(), entry.payload.begin(), entry.payload.end());
  }
  std::uint64_t offset = 0;
  const std::uint64_t mask = alignment_ - 1;
  for (Tensor& tensor : tensors_) {
    tensor.offset = offset;
    if (__builtin_add_overflow(offset, tensor.bytes, &offset) ||
        __builtin_add_overflow(offset, mask, &offset)) {
      return fail(ErrorCode::kInvalid, "the tensors are too large for one file");
    }
    offset &= ~mask;
    put_string(header, tensor.name);
    put(header, static_cast<std::uint32_t>(tensor.ne.size()));
    for (const std::uint64_t n : tensor.ne) put(header, n);
    put(header, static_cast<std::uint32_t>(tensor.type));
    put(header, tensor.offset);
  }

  std::string temporary = path + ".XXXXXX";
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return system_error("can't create " + temporary);
  file_ = std::make_unique<TemporaryFile>(fd, temporary, path);
  // mkostemp makes it private to its owner; a model file is readable like any other.
  if (::fchmod(fd, 0644) != 0) return system_error("can't set the mode of " + temporary);
  SLUICE_TRY(file_->write(header));
  if (!tensors_.empty()) SLUICE_TRY(pad());
  return {};
}

Status GgufWriter::pad() {
  static constexpr std::array<std::byte, 64> kZeros{};
  std::uint64_t missing = (alignment_ - file_->position() % alignment_) % alignment_;
  while (missing > 0) {
    const std::uint64_t piece = std::min<std::uint64_t>(missing, kZeros.size());
    SLUICE_TRY(file_->write(std::span(kZeros).first(static_cast<std::size_t>(piece))));
    missing -= piece;
  }
  return {};
}

Status GgufWriter::append(std::span<const std::byte> bytes) {
  if (!file_) return out_of_order();
  if (bytes.empty()) return {};
  if (current_ == tensors_.size()) return fail(ErrorCode::kInvalid, "more tensor data than was declared");
  const Tensor& tensor = tensors_[current_];
  if (bytes.size() > tensor.bytes - current_bytes_) {
    return fail(ErrorCode::kInvalid, "tensor " + gguf_quoted(tensor.name) + " gets more data than its size");
  }
  SLUICE_TRY(file_->write(bytes));
  current_bytes_ += bytes.size();
  return advance_if_complete();
}

Status GgufWriter::advance_if_complete() {
  if (current_bytes_ < tensors_[current_].bytes) return {};
  ++current_;
  current_bytes_ = 0;
  return pad();
}

Status GgufWriter::finish() {
  if (!file_) return out_of_order();
  if (current_ != tensors_.size()) {
    return fail(ErrorCode::kInvalid,
                "the data of tensor " + gguf_quoted(tensors_[current_].name) + " is missing");
  }
  const auto file = std::move(file_);
  return file->publish();
}

}  // namespace sluice
