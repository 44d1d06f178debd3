// Reads GGUF files (versions 2 and 3, little endian): typed metadata, and tensors as bytes of a memory map.
//
// Everything that the file says (offsets, counts, lengths, types, dimensions) is checked against the file
// before it is used, once, in `open`; afterwards every view handed out lies inside the map. A hostile file
// gives kCorrupt (the bytes contradict themselves or the file's end) or kInvalid (well formed, but not
// supported), never a crash, and `open` allocates at most a small multiple of the file's size.
//
// GgufFile is immutable after `open` and safe for concurrent use. Views (string_view, span, data pointers)
// are valid while the GgufFile they came from lives; moving a GgufFile keeps them valid.
//
// The map is of the file itself. Replace a model file by renaming a new one over it (as GgufWriter does): the
// map then keeps the old file. A file that is truncated in place while mapped raises SIGBUS on the next
// access to the lost pages, which ends the process; no job is lost by that (its lease lapses and it runs
// again). `check_unchanged` finds such a change wherever a look is convenient. Metadata is copied at `open`,
// so only tensor data is exposed to it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/text/ggml_type.h"

namespace sluice {

// The numbers are those of the file format.
enum class GgufValueType : std::uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};
std::string_view gguf_value_type_name(GgufValueType type);

struct GgufTensor {
  std::string_view name;
  GgmlType type = GgmlType::kF32;
  int dims = 0;                                 // How many of `ne` the file gave: 1 to 4.
  std::array<std::uint64_t, 4> ne{1, 1, 1, 1};  // ne[0] is the fastest: the length of a row.
  std::uint64_t offset = 0;                     // From the start of the data section.
  std::uint64_t bytes = 0;                      // Size of the data.
  const std::byte* data = nullptr;              // `bytes` bytes; aligned as the file says (alignment()).

  std::uint64_t rows() const { return ne[1] * ne[2] * ne[3]; }
  std::uint64_t values() const { return ne[0] * rows(); }
  std::span<const std::byte> view() const { return {data, static_cast<std::size_t>(bytes)}; }
};

// One key of the metadata. `payload` is the value as it lies in the file (without its type), so that it can
// be copied to another file unchanged.
struct GgufEntry {
  std::string_view key;
  GgufValueType type = GgufValueType::kU32;
  GgufValueType element_type = GgufValueType::kU32;  // Of an array.
  std::uint64_t count = 1;                           // Elements of an array, else 1.
  std::span<const std::byte> payload;
};

class GgufFile {
 public:
  // kNotFound: no such file. kUnavailable: it can't be read or mapped. kCorrupt, kInvalid: see above.
  static Result<GgufFile> open(const std::string& path);
  ~GgufFile();
  GgufFile(GgufFile&&) noexcept;
  GgufFile& operator=(GgufFile&&) noexcept;
  GgufFile(const GgufFile&) = delete;
  GgufFile& operator=(const GgufFile&) = delete;

  const std::string& path() const;
  std::uint32_t version() const;
  std::uint64_t file_bytes() const;
  std::uint64_t alignment() const;    // general.alignment, 32 by default.
  std::uint64_t data_offset() const;  // Where the data section starts in the file.

  // Metadata. Each getter: kNotFound if the key is missing, kInvalid if its value is of another type or out
  // of range; the message names the key. Integers of any width are read as the type asked for if they fit; a
  // floating number of either width as either (but no integer as a float, and no 0/1 as a bool).
  bool has(std::string_view key) const;
  const GgufEntry* find(std::string_view key) const;  // nullptr: missing.
  Result<std::string_view> string(std::string_view key) const;
  Result<std::uint32_t> u32(std::string_view key) const;
  Result<std::uint64_t> u64(std::string_view key) const;
  Result<std::int64_t> i64(std::string_view key) const;
  Result<float> f32(std::string_view key) const;
  Result<bool> boolean(std::string_view key) const;
  Result<std::vector<std::string_view>> strings(std::string_view key) const;
  Result<std::vector<std::int64_t>> ints(std::string_view key) const;
  Result<std::vector<float>> floats(std::string_view key) const;

  // As above, but a missing key gives the fallback.
  Result<std::string_view> string_or(std::string_view key, std::string_view fallback) const;
  Result<std::uint32_t> u32_or(std::string_view key, std::uint32_t fallback) const;
  Result<float> f32_or(std::string_view key, float fallback) const;
  Result<bool> boolean_or(std::string_view key, bool fallback) const;

  // In the order of the file.
  std::span<const GgufEntry> entries() const;
  std::span<const GgufTensor> tensors() const;

  const GgufTensor* find_tensor(std::string_view name) const;  // nullptr: missing.
  // kNotFound, naming it.
  Result<const GgufTensor*> tensor(std::string_view name) const;

  // The file from its start to the end of the last tensor's description (all but the data section and the
  // padding before it).
  std::span<const std::byte> header() const;

  // Gives the memory of a tensor's pages back to the system; they are read from the file again when they are
  // next looked at.
  void forget(const GgufTensor& tensor) const;

  // kCorrupt: the file's size or time of change differs from what was mapped (it was written in place).
  Status check_unchanged() const;

 private:
  struct State;
  explicit GgufFile(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sluice
