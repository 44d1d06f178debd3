#include "common/text/gguf.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include "common/text/gguf_parse.h"

namespace sluice {

static_assert(std::endian::native == std::endian::little, "GGUF values are read in place");

std::string_view gguf_value_type_name(GgufValueType type) {
  switch (type) {
    case GgufValueType::kU8:
      return "u8";
    case GgufValueType::kI8:
      return "i8";
    case GgufValueType::kU16:
      return "u16";
    case GgufValueType::kI16:
      return "i16";
    case GgufValueType::kU32:
      return "u32";
    case GgufValueType::kI32:
      return "i32";
    case GgufValueType::kF32:
      return "f32";
    case GgufValueType::kBool:
      return "bool";
    case GgufValueType::kString:
      return "string";
    case GgufValueType::kArray:
      return "array";
    case GgufValueType::kU64:
      return "u64";
    case GgufValueType::kI64:
      return "i64";
    case GgufValueType::kF64:
      return "f64";
  }
  return "unknown";
}

namespace {

// Closes on destruction.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

class Mapping {
 public:
  Mapping(void* base, std::size_t bytes) : base_(base), bytes_(bytes) {}
  ~Mapping() {
    if (base_ != nullptr) ::munmap(base_, bytes_);
  }
  Mapping(Mapping&& other) noexcept : base_(std::exchange(other.base_, nullptr)), bytes_(other.bytes_) {}
  Mapping& operator=(Mapping&&) = delete;
  std::span<const std::byte> view() const { return {static_cast<const std::byte*>(base_), bytes_}; }

 private:
  void* base_;
  std::size_t bytes_;
};

// A scalar at `at`, which need not be aligned.
template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// One integer of the given type; empty if the type is none.
struct Integer {
  bool negative = false;
  std::uint64_t bits = 0;  // Two's complement if negative.
};
std::optional<Integer> load_integer(GgufValueType type, const std::byte* at) {
  const auto make_signed = [](std::int64_t v) { return Integer{v < 0, static_cast<std::uint64_t>(v)}; };
  switch (type) {
    case GgufValueType::kU8:
      return Integer{false, load<std::uint8_t>(at)};
    case GgufValueType::kU16:
      return Integer{false, load<std::uint16_t>(at)};
    case GgufValueType::kU32:
      return Integer{false, load<std::uint32_t>(at)};
    case GgufValueType::kU64:
      return Integer{false, load<std::uint64_t>(at)};
    case GgufValueType::kI8:
      return make_signed(load<std::int8_t>(at));
    case GgufValueType::kI16:
      return make_signed(load<std::int16_t>(at));
    case GgufValueType::kI32:
      return make_signed(load<std::int32_t>(at));
    case GgufValueType::kI64:
      return make_signed(load<std::int64_t>(at));
    default:
      return std::nullopt;
  }
}

std::optional<float> load_float(GgufValueType type, const std::byte* at) {
  if (type == GgufValueType::kF32) return load<float>(at);
  if (type == GgufValueType::kF64) return static_cast<float>(load<double>(at));
  return std::nullopt;
}

template <class T>
std::optional<T> fit(const Integer& value) {
  if constexpr (std::is_signed_v<T>) {
    if (!value.negative && value.bits > static_cast<std::uint64_t>(std::numeric_limits<T>::max())) return {};
    const auto wide = static_cast<std::int64_t>(value.bits);
    if (wide < std::numeric_limits<T>::min()) return {};
    return static_cast<T>(wide);
  } else {
    if (value.negative || value.bits > std::numeric_limits<T>::max()) return {};
    return static_cast<T>(value.bits);
  }
}

std::string described(const GgufEntry& entry) {
  std::string text(gguf_value_type_name(entry.type));
  if (entry.type == GgufValueType::kArray) {
    text += " of ";
    text += gguf_value_type_name(entry.element_type);
  }
  return text;
}

tl::unexpected<Error> wrong_type(const GgufEntry& entry, std::string_view wanted) {
  return fail(ErrorCode::kInvalid, "metadata key " + gguf_quoted(entry.key) + " is " + described(entry) +
                                       ", not " + std::string(wanted));
}

tl::unexpected<Error> missing(std::string_view key) {
  return fail(ErrorCode::kNotFound, "metadata key " + gguf_quoted(key) + " is missing");
}

template <class T>
Result<T> integer(const GgufFile& file, std::string_view key, std::string_view wanted) {
  const GgufEntry* entry = file.find(key);
  if (entry == nullptr) return missing(key);
  const auto value = load_integer(entry->type, entry->payload.data());
  if (!value) return wrong_type(*entry, wanted);
  const auto fitted = fit<T>(*value);
  if (!fitted) {
    return fail(ErrorCode::kInvalid,
                "metadata key " + gguf_quoted(key) + " is out of range for " + std::string(wanted));
  }
  return *fitted;
}

template <class T, class F>
Result<std::vector<T>> numbers(const GgufFile& file, std::string_view key, std::string_view wanted,
                               F load_one) {
  const GgufEntry* entry = file.find(key);
  if (entry == nullptr) return missing(key);
  if (entry->type != GgufValueType::kArray) return wrong_type(*entry, wanted);
  std::vector<T> values;
  const std::size_t step = gguf_scalar_bytes(entry->element_type);
  if (step == 0) return wrong_type(*entry, wanted);
  const std::byte* at = entry->payload.data() + kGgufArrayHeaderBytes;
  values.reserve(static_cast<std::size_t>(entry->count));
  for (std::uint64_t i = 0; i < entry->count; ++i, at += step) {
    const std::optional<T> value = load_one(entry->element_type, at);
    if (!value) return wrong_type(*entry, wanted);
    values.push_back(*value);
  }
  return values;
}

template <class T>
Result<T> or_fallback(Result<T> result, T fallback) {
  if (!result && result.error().code == ErrorCode::kNotFound) return fallback;
  return result;
}

}  // namespace

struct GgufFile::State {
  State(std::string path_in, FileDescriptor fd_in, Mapping map_in)
      : path(std::move(path_in)), fd(std::move(fd_in)), map(std::move(map_in)) {}
  std::string path;
  FileDescriptor fd;
  Mapping map;
  struct timespec changed {};
  std::vector<std::byte> header;  // What `parsed` points into.
  GgufParsed parsed;
};

GgufFile::GgufFile(std::unique_ptr<State> state) : state_(std::move(state)) {}
GgufFile::~GgufFile() = default;
GgufFile::GgufFile(GgufFile&&) noexcept = default;
GgufFile& GgufFile::operator=(GgufFile&&) noexcept = default;

Result<GgufFile> GgufFile::open(const std::string& path) {
  // O_NONBLOCK: a FIFO must not hang the opening.
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) {
    const int error = errno;
    return fail(error == ENOENT || error == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
                "can't open " + path + ": " + std::strerror(error));
  }
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) {
    return fail(ErrorCode::kUnavailable, "can't stat " + path + ": " + std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::kInvalid, path + " is not a regular file");
  if (info.st_size <= 0) return fail(ErrorCode::kCorrupt, path + ": the file is empty");
  const auto bytes = static_cast<std::size_t>(info.st_size);
  void* base = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (base == MAP_FAILED) {
    return fail(ErrorCode::kUnavailable, "can't map " + path + ": " + std::strerror(errno));
  }
  auto state = std::make_unique<State>(path, std::move(fd), Mapping(base, bytes));
  state->changed = info.st_mtim;

  // First over the map, to learn how long the header is; then over a copy of it, which is what views point
  // into. The copy is checked on its own, so a file that changes between the two can do no harm.
  const std::span<const std::byte> map = state->map.view();
  const auto named = [&](Error error) { return fail(error.code, path + ": " + error.message); };
  {
    auto first = gguf_parse(map, bytes);
    if (!first) return named(std::move(first).error());
    state->header.assign(map.begin(), map.begin() + static_cast<std::ptrdiff_t>(first->header_bytes));
  }
  auto parsed = gguf_parse(state->header, bytes);
  if (!parsed) return named(std::move(parsed).error());
  state->parsed = std::move(*parsed);
  for (GgufTensor& tensor : state->parsed.tensors) {
    tensor.data = map.data() + state->parsed.data_offset + tensor.offset;
  }
  return GgufFile(std::move(state));
}

const std::string& GgufFile::path() const {
  return state_->path;
}
std::uint32_t GgufFile::version() const {
  return state_->parsed.version;
}
std::uint64_t GgufFile::file_bytes() const {
  return state_->map.view().size();
}
std::uint64_t GgufFile::alignment() const {
  return state_->parsed.alignment;
}
std::uint64_t GgufFile::data_offset() const {
  return state_->parsed.data_offset;
}
std::span<const GgufEntry> GgufFile::entries() const {
  return state_->parsed.entries;
}
std::span<const GgufTensor> GgufFile::tensors() const {
  return state_->parsed.tensors;
}
std::span<const std::byte> GgufFile::header() const {
  return state_->header;
}

bool GgufFile::has(std::string_view key) const {
  return find(key) != nullptr;
}

const GgufEntry* GgufFile::find(std::string_view key) const {
  const GgufParsed& parsed = state_->parsed;
  const auto at = std::lower_bound(
      parsed.entries_by_key.begin(), parsed.entries_by_key.end(), key,
      [&](std::uint32_t index, std::string_view wanted) { return parsed.entries[index].key < wanted; });
  if (at == parsed.entries_by_key.end() || parsed.entries[*at].key != key) return nullptr;
  return &parsed.entries[*at];
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const GgufParsed& parsed = state_->parsed;
  const auto at = std::lower_bound(
      parsed.tensors_by_name.begin(), parsed.tensors_by_name.end(), name,
      [&](std::uint32_t index, std::string_view wanted) { return parsed.tensors[index].name < wanted; });
  if (at == parsed.tensors_by_name.end() || parsed.tensors[*at].name != name) return nullptr;
  return &parsed.tensors[*at];
}

Result<const GgufTensor*> GgufFile::tensor(std::string_view name) const {
  const GgufTensor* found = find_tensor(name);
  if (found == nullptr) return fail(ErrorCode::kNotFound, "tensor " + gguf_quoted(name) + " is missing");
  return found;
}

Result<std::string_view> GgufFile::string(std::string_view key) const {
  const GgufEntry* entry = find(key);
  if (entry == nullptr) return missing(key);
  if (entry->type != GgufValueType::kString) return wrong_type(*entry, "a string");
  const auto text = entry->payload.subspan(sizeof(std::uint64_t));
  return std::string_view(reinterpret_cast<const char*>(text.data()), text.size());
}

Result<std::uint32_t> GgufFile::u32(std::string_view key) const {
  return integer<std::uint32_t>(*this, key, "u32");
}
Result<std::uint64_t> GgufFile::u64(std::string_view key) const {
  return integer<std::uint64_t>(*this, key, "u64");
}
Result<std::int64_t> GgufFile::i64(std::string_view key) const {
  return integer<std::int64_t>(*this, key, "i64");
}

Result<float> GgufFile::f32(std::string_view key) const {
  const GgufEntry* entry = find(key);
  if (entry == nullptr) return missing(key);
  const auto value = load_float(entry->type, entry->payload.data());
  if (!value) return wrong_type(*entry, "a floating number");
  return *value;
}

Result<bool> GgufFile::boolean(std::string_view key) const {
  const GgufEntry* entry = find(key);
  if (entry == nullptr) return missing(key);
  if (entry->type != GgufValueType::kBool) return wrong_type(*entry, "a bool");
  return load<std::uint8_t>(entry->payload.data()) != 0;
}

Result<std::vector<std::string_view>> GgufFile::strings(std::string_view key) const {
  const GgufEntry* entry = find(key);
  if (entry == nullptr) return missing(key);
  if (entry->type != GgufValueType::kArray || entry->element_type != GgufValueType::kString) {
    return wrong_type(*entry, "an array of strings");
  }
  std::vector<std::string_view> texts;
  texts.reserve(static_cast<std::size_t>(entry->count));
  const std::byte* at = entry->payload.data() + kGgufArrayHeaderBytes;
  for (std::uint64_t i = 0; i < entry->count; ++i) {
    const auto length = static_cast<std::size_t>(load<std::uint64_t>(at));
    at += sizeof(std::uint64_t);
    texts.emplace_back(reinterpret_cast<const char*>(at), length);
    at += length;
  }
  return texts;
}

Result<std::vector<std::int64_t>> GgufFile::ints(std::string_view key) const {
  return numbers<std::int64_t>(*this, key, "an array of integers",
                               [](GgufValueType type, const std::byte* at) -> std::optional<std::int64_t> {
                                 const auto value = load_integer(type, at);
                                 if (!value) return std::nullopt;
                                 return fit<std::int64_t>(*value);
                               });
}

Result<std::vector<float>> GgufFile::floats(std::string_view key) const {
  return numbers<float>(*this, key, "an array of floating numbers", load_float);
}

Result<std::string_view> GgufFile::string_or(std::string_view key, std::string_view fallback) const {
  return or_fallback(string(key), fallback);
}
Result<std::uint32_t> GgufFile::u32_or(std::string_view key, std::uint32_t fallback) const {
  return or_fallback(u32(key), fallback);
}
Result<float> GgufFile::f32_or(std::string_view key, float fallback) const {
  return or_fallback(f32(key), fallback);
}
Result<bool> GgufFile::boolean_or(std::string_view key, bool fallback) const {
  return or_fallback(boolean(key), fallback);
}

void GgufFile::forget(const GgufTensor& tensor) const {
  // Pages at the borders hold parts of other tensors.
  const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t begin = (reinterpret_cast<std::uintptr_t>(tensor.data) + page - 1) / page * page;
  const std::size_t end = (reinterpret_cast<std::uintptr_t>(tensor.data) + tensor.bytes) / page * page;
  // A hint: if it fails, the pages stay.
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

Status GgufFile::check_unchanged() const {
  struct stat info {};
  if (::fstat(state_->fd.get(), &info) != 0) {
    return fail(ErrorCode::kUnavailable, "can't stat " + state_->path + ": " + std::strerror(errno));
  }
  if (static_cast<std::uint64_t>(info.st_size) != file_bytes() ||
      info.st_mtim.tv_sec != state_->changed.tv_sec || info.st_mtim.tv_nsec != state_->changed.tv_nsec) {
    return fail(ErrorCode::kCorrupt, state_->path + " was written to while in use");
  }
  return {};
}

}  // namespace sluice
