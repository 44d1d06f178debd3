// The blocks of the quantised formats, as they lie in a GGUF file. Numbers are little endian; `half` fields
// are IEEE half precision. Index i counts the numbers of one block; bits count from the lowest. The layouts
// are those of GGUF files as other programs read and write them.
//
// Q8_0, the oldest here, has a header of its own: worker/kernels/q8_0.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::kernels {

inline constexpr std::size_t kSmallBlock = 32;   // Numbers in a block of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
inline constexpr std::size_t kSuperBlock = 256;  // Numbers in a block of the K formats.

// number = scale · (code - 8). Byte i of `codes` holds code i (low half) and code i + 16 (high half).
struct BlockQ4_0 {
  std::uint16_t scale;  // half
  std::uint8_t codes[16];
};
static_assert(sizeof(BlockQ4_0) == 18);

// number = scale · code + min, codes as in Q4_0.
struct BlockQ4_1 {
  std::uint16_t scale;  // half
  std::uint16_t min;    // half
  std::uint8_t codes[16];
};
static_assert(sizeof(BlockQ4_1) == 20);

// number = scale · (code - 16). The low 4 bits of the codes as in Q4_0; bit i of `high` (little endian) is
// bit 4 of code i.
struct BlockQ5_0 {
  std::uint16_t scale;  // half
  std::uint8_t high[4];
  std::uint8_t codes[16];
};
static_assert(sizeof(BlockQ5_0) == 22);

// number = scale · code + min, codes as in Q5_0.
struct BlockQ5_1 {
  std::uint16_t scale;  // half
  std::uint16_t min;    // half
  std::uint8_t high[4];
  std::uint8_t codes[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

// 16 groups of 16: number = scale · (scales[g] & 15) · code - min · (scales[g] >> 4), 2-bit codes.
// Code i is at bits 2 · ((i % 128) / 32) of codes[32 · (i / 128) + i % 32].
struct BlockQ2_K {
  std::uint8_t scales[16];
  std::uint8_t codes[64];
  std::uint16_t scale;  // half
  std::uint16_t min;    // half
};
static_assert(sizeof(BlockQ2_K) == 84);

// 16 groups of 16: number = scale · (group scale - 32) · (code - 4), 3-bit codes, 6-bit group scales.
// The low 2 bits of code i as in Q2_K; its bit 2 is bit i / 32 of high[i % 32].
// Group scale g: low 4 bits in scales[g % 8] (low half for g < 8), high 2 bits at bits 2 · (g / 4) of
// scales[8 + g % 4].
struct BlockQ3_K {
  std::uint8_t high[32];
  std::uint8_t codes[64];
  std::uint8_t scales[12];
  std::uint16_t scale;  // half
};
static_assert(sizeof(BlockQ3_K) == 110);

// 8 groups of 32: number = scale · group scale · code - min · group min, 4-bit codes, 6-bit scales and mins
// (see unpack_group_scales). Code i is the low half (i % 64 < 32) or high half of
// codes[32 · (i / 64) + i % 32].
struct BlockQ4_K {
  std::uint16_t scale;  // half
  std::uint16_t min;    // half
  std::uint8_t scales[12];
  std::uint8_t codes[128];
};
static_assert(sizeof(BlockQ4_K) == 144);

// As Q4_K with 5-bit codes: bit 4 of code i is bit i / 32 of high[i % 32].
struct BlockQ5_K {
  std::uint16_t scale;  // half
  std::uint16_t min;    // half
  std::uint8_t scales[12];
  std::uint8_t high[32];
  std::uint8_t codes[128];
};
static_assert(sizeof(BlockQ5_K) == 176);

// 16 groups of 16: number = scale · scales[g] · (code - 32), 6-bit codes. With h = i / 128, r = i % 128:
// the low 4 bits of code i are in codes[64 · h + r % 64] (low half for r < 64), its high 2 bits at bits
// 2 · (r / 32) of high[32 · h + r % 32].
struct BlockQ6_K {
  std::uint8_t codes[128];
  std::uint8_t high[64];
  std::int8_t scales[16];
  std::uint16_t scale;  // half
};
static_assert(sizeof(BlockQ6_K) == 210);

// The eight 6-bit scales and mins of a Q4_K or Q5_K block. Group g < 4 has its own low six bits of bytes g
// (scale) and g + 4 (min); groups 4 to 7 share byte g + 4 (scale low half, min high half) for their low 4
// bits and find bits 4 and 5 on top of bytes g - 4 (scale) and g (min).
static inline void unpack_group_scales(const std::uint8_t packed[12], std::uint8_t scales[8],
                                       std::uint8_t mins[8]) {
  for (int g = 0; g < 4; ++g) {
    scales[g] = packed[g] & 63;
    mins[g] = packed[g + 4] & 63;
    scales[g + 4] = static_cast<std::uint8_t>((packed[g + 8] & 15) | (packed[g] >> 6 << 4));
    mins[g + 4] = static_cast<std::uint8_t>((packed[g + 8] >> 4) | (packed[g + 4] >> 6 << 4));
  }
}

static inline void pack_group_scales(const std::uint8_t scales[8], const std::uint8_t mins[8],
                                     std::uint8_t packed[12]) {
  for (int g = 0; g < 4; ++g) {
    packed[g] = static_cast<std::uint8_t>(scales[g] | (scales[g + 4] >> 4 << 6));
    packed[g + 4] = static_cast<std::uint8_t>(mins[g] | (mins[g + 4] >> 4 << 6));
    packed[g + 8] = static_cast<std::uint8_t>((scales[g + 4] & 15) | (mins[g + 4] & 15) << 4);
  }
}

// The sixteen 6-bit group scales of a Q3_K block, 0 to 63: 32 stands for zero.
static inline void unpack_q3_k_scales(const std::uint8_t packed[12], std::uint8_t scales[16]) {
  for (int g = 0; g < 16; ++g) {
    const int low = g < 8 ? packed[g] & 15 : packed[g - 8] >> 4;
    const int high = packed[8 + g % 4] >> (2 * (g / 4)) & 3;
    scales[g] = static_cast<std::uint8_t>(low | high << 4);
  }
}

static inline void pack_q3_k_scales(const std::uint8_t scales[16], std::uint8_t packed[12]) {
  for (int i = 0; i < 8; ++i) {
    packed[i] = static_cast<std::uint8_t>((scales[i] & 15) | (scales[i + 8] & 15) << 4);
  }
  for (int i = 0; i < 4; ++i) {
    packed[8 + i] = static_cast<std::uint8_t>(scales[i] >> 4 | scales[i + 4] >> 4 << 2 |
                                              scales[i + 8] >> 4 << 4 | scales[i + 12] >> 4 << 6);
  }
}

}  // namespace sluice::kernels
