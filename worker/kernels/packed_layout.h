// How quantised matrices lie in memory once they are packed for the kernels.
//
// Sixteen rows form a panel; a matrix is its panels, one after the other, the last one filled up with rows of
// zeros. Along a row, 32 numbers form a group, and one or eight groups a block. A number is
//   scale × (code - offset) - minimum,
// where the code is an unsigned integer of 2 to 8 bits and scale and minimum belong to the row's group, or to
// half of it. Scales lie in bytes beside the codes, as the file's format has them, so a packed matrix is
// about as large as it was in the file.
//
// A block is its head (16 scales as halves; 16 scales of the minima as halves, if there are any), then its
// groups. A group is its parameters (the bytes that the head's scales are multiplied by), lines of high bits,
// lines of low bits. A line has 64 bytes, four for each row: byte 4r + b belongs to row r and to column
// 4q + b of the group, q being one of eight quads. So one load gives the same four columns of 16 rows, which
// is what the instructions for int8 products want: sums of rows stay in their lanes. Line i holds
//   8 bits: quad i, with the sign of a signed byte (code - 128)
//   4 bits: quad i in the low halves of the bytes, quad i + 4 in the high halves
//   2 bits: quads 4i to 4i + 3, from the lowest bits to the highest
//   1 bit:  quads 0 to 7, likewise
//
// Constants alone: safe for concurrent use.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::kernels {

inline constexpr std::size_t kPanelRows = 16;
inline constexpr std::size_t kGroupValues = 32;
inline constexpr std::size_t kGroupQuads = 8;
inline constexpr std::size_t kLineBytes = 64;

enum class PackedType : std::uint8_t { kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ2_K, kQ3_K, kQ4_K, kQ5_K, kQ6_K };
inline constexpr std::size_t kPackedTypes = 10;

enum class PackedScales : std::uint8_t {
  kOfHead,    // The head's are the group's own.
  kUnsigned,  // × a byte for each row.
  kSigned,    // × a signed byte for each row and half group.
  kNibbles,   // × the low half of a byte for each row and half group; its high half is for the minimum.
};

struct PackedLayout {
  std::size_t block_groups;
  int low_bits;   // 8, 4 or 2
  int high_bits;  // 0, 1 or 2; they stand above the low ones.
  int parts;      // 1: a scale for each group; 2: one for each half of it.
  bool minima;
  int offset;
  PackedScales scales;

  constexpr int bits() const { return low_bits + high_bits; }
  constexpr std::size_t head_bytes() const { return (minima ? 2 : 1) * 2 * kPanelRows; }
  constexpr std::size_t parameter_bytes() const {
    return scales == PackedScales::kOfHead ? 0 : 2 * kPanelRows;
  }
  constexpr std::size_t high_bytes() const { return kLineBytes * static_cast<std::size_t>(high_bits); }
  constexpr std::size_t low_bytes() const { return kLineBytes * static_cast<std::size_t>(low_bits); }
  constexpr std::size_t group_bytes() const { return parameter_bytes() + high_bytes() + low_bytes(); }
  constexpr std::size_t block_bytes() const { return head_bytes() + block_groups * group_bytes(); }
};

static constexpr PackedLayout packed_layout(PackedType type) {
  switch (type) {
    case PackedType::kQ8_0:
      return {1, 8, 0, 1, false, 128, PackedScales::kOfHead};
    case PackedType::kQ4_0:
      return {1, 4, 0, 1, false, 8, PackedScales::kOfHead};
    case PackedType::kQ4_1:
      return {1, 4, 0, 1, true, 0, PackedScales::kOfHead};
    case PackedType::kQ5_0:
      return {1, 4, 1, 1, false, 16, PackedScales::kOfHead};
    case PackedType::kQ5_1:
      return {1, 4, 1, 1, true, 0, PackedScales::kOfHead};
    case PackedType::kQ2_K:
      return {8, 2, 0, 2, true, 0, PackedScales::kNibbles};
    case PackedType::kQ3_K:
      return {8, 2, 1, 2, false, 4, PackedScales::kSigned};
    case PackedType::kQ4_K:
      return {8, 4, 0, 1, true, 0, PackedScales::kUnsigned};
    case PackedType::kQ5_K:
      return {8, 4, 1, 1, true, 0, PackedScales::kUnsigned};
    case PackedType::kQ6_K:
      return {8, 4, 2, 2, false, 32, PackedScales::kSigned};
  }
  return {};
}

}  // namespace sluice::kernels
