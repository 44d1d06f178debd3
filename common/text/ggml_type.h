// The number formats that a GGUF tensor can be stored in, and the arithmetic of their sizes. A row is a whole
// number of blocks; a block holds `values` numbers in `bytes` bytes. Knowing a type here says nothing about
// whether the engine can compute with it.
//
// Pure functions: safe for concurrent use.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice {

// The numbers are those of the file format.
enum class GgmlType : std::uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ8_1 = 9,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kQ8_K = 15,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
};

struct GgmlTypeTraits {
  GgmlType type;
  std::string_view name;  // "Q8_0"
  std::uint32_t values;   // Numbers in a block.
  std::uint32_t bytes;    // Bytes of a block.
};

// nullptr: no such type.
const GgmlTypeTraits* ggml_type_traits(std::uint32_t raw_type);
// For a type that came out of a GgufFile: always known.
const GgmlTypeTraits& ggml_type_traits(GgmlType type);
std::string_view ggml_type_name(GgmlType type);
// By name, in any case ("q8_0"). Empty: no such type.
std::optional<GgmlType> ggml_type_by_name(std::string_view name);
// Bytes of `values` numbers in one row; `values` must be a whole number of blocks.
std::uint64_t ggml_row_bytes(GgmlType type, std::uint64_t values);

}  // namespace sluice
