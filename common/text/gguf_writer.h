// Writes GGUF v3 files, streaming: the metadata and the tensors' descriptions are declared first, then each
// tensor's data follows in the order declared, in pieces of any size. All goes to a temporary file beside the
// target, which `finish` syncs and renames into place: readers see the old file or the whole new one.
//
//   GgufWriter writer;
//   writer.copy_metadata(source);                       // byte for byte
//   SLUICE_TRY(writer.set_u32("general.file_type", 7));
//   SLUICE_TRY(writer.add_tensor("w", GgmlType::kQ8_0, ne));
//   SLUICE_TRY(writer.begin(path));
//   SLUICE_TRY(writer.append(bytes));                   // as often as needed
//   SLUICE_TRY(writer.finish());
//
// Not safe for concurrent use. An unfinished file is removed on destruction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/text/ggml_type.h"
#include "common/text/gguf.h"

namespace sluice {

class GgufWriter {
 public:
  GgufWriter();
  ~GgufWriter();
  GgufWriter(const GgufWriter&) = delete;
  GgufWriter& operator=(const GgufWriter&) = delete;

  // Takes over every key of `source`, in its order and with its bytes. Call before the setters.
  void copy_metadata(const GgufFile& source);

  // Each setter replaces the key where it stands, or appends it. kInvalid: the key is empty or too long, or a
  // general.alignment that can't be used. After `begin`: kInternal.
  Status set_string(std::string_view key, std::string_view value);
  Status set_u32(std::string_view key, std::uint32_t value);
  Status set_u64(std::string_view key, std::uint64_t value);
  Status set_f32(std::string_view key, float value);
  Status set_bool(std::string_view key, bool value);
  Status set_strings(std::string_view key, std::span<const std::string> values);
  Status set_i32s(std::string_view key, std::span<const std::int32_t> values);
  Status set_f32s(std::string_view key, std::span<const float> values);
  void remove(std::string_view key);  // No matter whether it was there.

  // `ne` has 1 to 4 dimensions, the fastest first. kInvalid: a shape, a name or a second tensor of this name
  // that no reader would accept.
  Status add_tensor(std::string_view name, GgmlType type, std::span<const std::uint64_t> ne);

  // Creates the temporary file and writes everything before the data.
  Status begin(const std::string& path);
  // The next bytes of the current tensor; may not cross into the next one. kInvalid: more than was declared.
  Status append(std::span<const std::byte> bytes);
  // kInvalid: data is missing. Afterwards the file is in place and on the disk.
  Status finish();

 private:
  struct Entry {
    std::string key;
    std::uint32_t type;
    std::vector<std::byte> payload;
  };
  struct Tensor {
    std::string name;
    GgmlType type;
    std::vector<std::uint64_t> ne;
    std::uint64_t bytes;
    std::uint64_t offset;
  };
  class TemporaryFile;

  Status set(std::string_view key, GgufValueType type, std::vector<std::byte> payload);
  Status pad();  // Up to the alignment, after the header or a tensor.
  Status advance_if_complete();

  std::vector<Entry> entries_;
  std::vector<Tensor> tensors_;
  std::uint64_t alignment_;
  std::unique_ptr<TemporaryFile> file_;
  std::size_t current_ = 0;          // The tensor whose data comes next.
  std::uint64_t current_bytes_ = 0;  // How much of it came.
};

}  // namespace sluice
