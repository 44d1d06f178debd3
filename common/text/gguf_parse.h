// The decoder behind GgufFile: from the bytes of a header to checked entries and tensor descriptions.
// Internal to this folder (and to the tests that mutate headers).
//
// A pure function over bytes: safe for concurrent use; allocates at most a small multiple of the bytes given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/text/gguf.h"

namespace sluice {

// In an array's payload its elements come after the element type (u32) and the count (u64).
inline constexpr std::size_t kGgufArrayHeaderBytes = 12;
// What the format allows.
inline constexpr std::size_t kGgufKeyBytesMax = 65535;
inline constexpr std::size_t kGgufTensorNameBytesMax = 64;
inline constexpr std::uint64_t kGgufAlignmentDefault = 32;
inline constexpr std::uint64_t kGgufAlignmentMax = 1 << 20;

struct GgufParsed {
  std::uint32_t version = 0;
  std::uint64_t alignment = kGgufAlignmentDefault;
  std::uint64_t header_bytes = 0;
  std::uint64_t data_offset = 0;  // header_bytes, padded to the alignment.
  std::vector<GgufEntry> entries;
  std::vector<GgufTensor> tensors;  // Without `data`.
  std::vector<std::uint32_t> entries_by_key;
  std::vector<std::uint32_t> tensors_by_name;
};

// `bytes`: the file from its start, at least up to the end of its header. `file_bytes`: the whole file's
// size. The views of the result point into `bytes`.
Result<GgufParsed> gguf_parse(std::span<const std::byte> bytes, std::uint64_t file_bytes);

// Bytes of one scalar; 0 for strings, arrays and unknown types.
std::size_t gguf_scalar_bytes(GgufValueType type);
// Whether a general.alignment can be used.
bool gguf_alignment_valid(std::uint64_t alignment);
// The name for an error message: quoted, shortened, with unprintable bytes escaped.
std::string gguf_quoted(std::string_view name);

}  // namespace sluice
