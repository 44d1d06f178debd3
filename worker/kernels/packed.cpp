#include "worker/kernels/packed.h"

#include <cstring>

#include "worker/kernels/formats/blocks.h"
#include "worker/kernels/half.h"
#include "worker/kernels/q8_0.h"

namespace sluice::kernels {
namespace {

// The codes of one group of one row, between the two forms.
struct Group {
  std::uint8_t codes[kGroupValues];
};

std::uint16_t half_at(const std::byte* from) {
  std::uint16_t half;
  std::memcpy(&half, from, sizeof half);
  return half;
}

// Where the parts of a block begin in the file, in bytes.
struct FileBlock {
  std::size_t bytes;
  std::size_t scale;    // A half.
  std::size_t minimum;  // A half.
  std::size_t parameters;
  std::size_t high;
  std::size_t low;
};

template <class Block>
constexpr FileBlock fields_of() {
  FileBlock found{sizeof(Block), offsetof(Block, scale), 0, 0, 0, 0};
  if constexpr (requires(Block block) { block.min; }) found.minimum = offsetof(Block, min);
  if constexpr (requires(Block block) { block.scales; }) found.parameters = offsetof(Block, scales);
  if constexpr (requires(Block block) { block.high; }) found.high = offsetof(Block, high);
  if constexpr (requires(Block block) { block.codes; }) {
    found.low = offsetof(Block, codes);
  } else {
    found.low = offsetof(Block, values);
  }
  return found;
}

constexpr FileBlock file_block(PackedType type) {
  switch (type) {
    case PackedType::kQ8_0:
      return fields_of<BlockQ8_0>();
    case PackedType::kQ4_0:
      return fields_of<BlockQ4_0>();
    case PackedType::kQ4_1:
      return fields_of<BlockQ4_1>();
    case PackedType::kQ5_0:
      return fields_of<BlockQ5_0>();
    case PackedType::kQ5_1:
      return fields_of<BlockQ5_1>();
    case PackedType::kQ2_K:
      return fields_of<BlockQ2_K>();
    case PackedType::kQ3_K:
      return fields_of<BlockQ3_K>();
    case PackedType::kQ4_K:
      return fields_of<BlockQ4_K>();
    case PackedType::kQ5_K:
      return fields_of<BlockQ5_K>();
    case PackedType::kQ6_K:
      return fields_of<BlockQ6_K>();
  }
  return {};
}

std::uint8_t byte_at(const std::byte* from, std::size_t index) {
  return static_cast<std::uint8_t>(from[index]);
}

// The bytes that belong to the groups of a block, two for each: scale and minimum, or one for each half.
template <PackedType P>
void read_parameters(const std::byte* block, std::uint8_t (&to)[16]) {
  std::uint8_t packed[16];
  constexpr bool kSixBits = P != PackedType::kQ2_K && P != PackedType::kQ6_K;
  std::memcpy(packed, block + file_block(P).parameters, kSixBits ? 12 : 16);
  if constexpr (P == PackedType::kQ3_K) {
    unpack_q3_k_scales(packed, to);
    for (std::uint8_t& scale : to) scale = static_cast<std::uint8_t>(scale - 32);
  } else if constexpr (kSixBits) {
    std::uint8_t scales[8];
    std::uint8_t mins[8];
    unpack_group_scales(packed, scales, mins);
    for (std::size_t g = 0; g < 8; ++g) {
      to[2 * g] = scales[g];
      to[2 * g + 1] = mins[g];
    }
  } else {
    std::memcpy(to, packed, sizeof packed);
  }
}

// Group g of a block. Bit positions are those of the format; every loop is over bytes that lie together.
template <PackedType P>
void read_group(const std::byte* block, std::size_t g, Group& group) {
  constexpr FileBlock F = file_block(P);
  constexpr PackedLayout L = packed_layout(P);
  const std::byte* low = block + F.low;
  const std::byte* high = block + F.high;
  if constexpr (P == PackedType::kQ8_0) {
    std::memcpy(group.codes, low, kGroupValues);
  } else if constexpr (L.block_groups == 1) {
    for (std::size_t i = 0; i < 16; ++i) {
      group.codes[i] = byte_at(low, i) & 15;
      group.codes[i + 16] = byte_at(low, i) >> 4;
    }
    if constexpr (L.high_bits == 1) {
      std::uint32_t bits;
      std::memcpy(&bits, high, sizeof bits);
      for (std::size_t i = 0; i < kGroupValues; ++i) {
        group.codes[i] = static_cast<std::uint8_t>(group.codes[i] | (bits >> i & 1) << 4);
      }
    }
  } else if constexpr (P == PackedType::kQ4_K || P == PackedType::kQ5_K) {
    const unsigned shift = g % 2 * 4;
    for (std::size_t i = 0; i < kGroupValues; ++i) {
      group.codes[i] = byte_at(low, g / 2 * 32 + i) >> shift & 15;
      if constexpr (L.high_bits == 1) {
        group.codes[i] = static_cast<std::uint8_t>(group.codes[i] | (byte_at(high, i) >> g & 1) << 4);
      }
    }
  } else if constexpr (P == PackedType::kQ6_K) {
    const std::size_t from = g / 4 * 64 + g % 2 * 32;
    const unsigned shift = g % 4 / 2 * 4;
    for (std::size_t i = 0; i < kGroupValues; ++i) {
      const int above = byte_at(high, g / 4 * 32 + i) >> (g % 4 * 2) & 3;
      group.codes[i] = static_cast<std::uint8_t>((byte_at(low, from + i) >> shift & 15) | above << 4);
    }
  } else {
    for (std::size_t i = 0; i < kGroupValues; ++i) {
      group.codes[i] = byte_at(low, g / 4 * 32 + i) >> (g % 4 * 2) & 3;
      if constexpr (P == PackedType::kQ3_K) {
        group.codes[i] = static_cast<std::uint8_t>(group.codes[i] | (byte_at(high, i) >> g & 1) << 2);
      }
    }
  }
}

std::uint32_t quad_of(const Group& group, std::size_t q) {
  std::uint32_t four;
  std::memcpy(&four, group.codes + 4 * q, sizeof four);
  return four;
}

// Four codes at a time: no bit of one leaves its byte.
template <PackedLayout L>
void write_group(const Group& group, std::size_t row, std::byte* to) {
  std::byte* lines = to + L.parameter_bytes() + 4 * row;
  const auto write = [&](std::size_t line, std::uint32_t four) {
    std::memcpy(lines + line * kLineBytes, &four, sizeof four);
  };
  constexpr std::uint32_t kOnes = 0x01010101U;
  if constexpr (L.high_bits == 1) {
    std::uint32_t line = 0;
    for (std::size_t q = 0; q < 8; ++q) line |= (quad_of(group, q) >> L.low_bits & kOnes) << q;
    write(0, line);
  }
  if constexpr (L.high_bits == 2) {
    for (std::size_t i = 0; i < 2; ++i) {
      std::uint32_t line = 0;
      for (std::size_t q = 0; q < 4; ++q)
        line |= (quad_of(group, 4 * i + q) >> L.low_bits & 3 * kOnes) << 2 * q;
      write(i, line);
    }
  }
  constexpr std::size_t kHigh = static_cast<std::size_t>(L.high_bits);
  if constexpr (L.low_bits == 8) {
    for (std::size_t q = 0; q < 8; ++q) write(q, quad_of(group, q));
  } else if constexpr (L.low_bits == 4) {
    for (std::size_t q = 0; q < 4; ++q) {
      write(kHigh + q, (quad_of(group, q) & 15 * kOnes) | (quad_of(group, q + 4) & 15 * kOnes) << 4);
    }
  } else {
    for (std::size_t i = 0; i < 2; ++i) {
      std::uint32_t line = 0;
      for (std::size_t q = 0; q < 4; ++q) line |= (quad_of(group, 4 * i + q) & 3 * kOnes) << 2 * q;
      write(kHigh + i, line);
    }
  }
}

template <PackedType P>
bool pack(const std::byte* from, std::size_t rows, std::size_t cols, std::byte* panel) {
  constexpr FileBlock F = file_block(P);
  constexpr PackedLayout L = packed_layout(P);
  const std::size_t blocks = cols / kGroupValues / L.block_groups;
  std::size_t bad = 0;
  if (rows < kPanelRows) std::memset(panel, 0, blocks * L.block_bytes());
  for (std::size_t b = 0; b < blocks; ++b, panel += L.block_bytes()) {
    for (std::size_t row = 0; row < rows; ++row) {
      const std::byte* block = from + (row * blocks + b) * F.bytes;
      std::memcpy(panel + 2 * row, block + F.scale, 2);
      bad += half_finite(half_at(block + F.scale)) ? 0 : 1;
      if constexpr (L.minima) {
        std::memcpy(panel + 2 * (kPanelRows + row), block + F.minimum, 2);
        bad += half_finite(half_at(block + F.minimum)) ? 0 : 1;
        // The older formats add theirs.
        if constexpr (L.scales == PackedScales::kOfHead) panel[2 * (kPanelRows + row) + 1] ^= std::byte{0x80};
      }
      std::uint8_t parameters[16] = {};
      if constexpr (L.scales != PackedScales::kOfHead) read_parameters<P>(block, parameters);
      for (std::size_t g = 0; g < L.block_groups; ++g) {
        std::byte* to = panel + L.head_bytes() + g * L.group_bytes();
        if constexpr (L.scales != PackedScales::kOfHead) {
          to[row] = static_cast<std::byte>(parameters[2 * g]);
          to[kPanelRows + row] = static_cast<std::byte>(parameters[2 * g + 1]);
        }
        Group group{};
        read_group<P>(block, g, group);
        write_group<L>(group, row, to);
      }
    }
  }
  return bad == 0;
}

template <PackedLayout L>
int code_at(const std::byte* lines, std::size_t row, std::size_t column) {
  const std::size_t q = column / 4;
  const std::size_t byte = 4 * row + column % 4;
  const auto line = [&](std::size_t index) {
    return static_cast<unsigned>(lines[index * kLineBytes + byte]);
  };
  constexpr std::size_t kHigh = static_cast<std::size_t>(L.high_bits);
  unsigned code = 0;
  if constexpr (L.low_bits == 8) code = line(q) ^ 0x80U;
  if constexpr (L.low_bits == 4) code = line(kHigh + q % 4) >> (q / 4 * 4) & 15;
  if constexpr (L.low_bits == 2) code = line(kHigh + q / 4) >> (q % 4 * 2) & 3;
  if constexpr (L.high_bits == 1) code |= (line(0) >> q & 1) << L.low_bits;
  if constexpr (L.high_bits == 2) code |= (line(q / 4) >> (q % 4 * 2) & 3) << L.low_bits;
  return static_cast<int>(code);
}

template <PackedType P>
void unpack(const std::byte* panel, std::size_t row, std::size_t cols, float* to) {
  constexpr PackedLayout L = packed_layout(P);
  const std::size_t blocks = cols / kGroupValues / L.block_groups;
  for (std::size_t b = 0; b < blocks; ++b, panel += L.block_bytes()) {
    const float head_scale = half_to_float(half_at(panel + 2 * row));
    const float head_minimum = L.minima ? half_to_float(half_at(panel + 2 * (kPanelRows + row))) : 0.0F;
    for (std::size_t g = 0; g < L.block_groups; ++g) {
      const std::byte* group = panel + L.head_bytes() + g * L.group_bytes();
      float scale[2] = {head_scale, head_scale};
      float minimum[2] = {head_minimum, head_minimum};
      for (std::size_t half = 0; half < 2; ++half) {
        const int own = byte_at(group, half * kPanelRows + row);
        if constexpr (L.scales == PackedScales::kUnsigned) {
          scale[half] *= static_cast<float>(byte_at(group, row));
          minimum[half] *= static_cast<float>(byte_at(group, kPanelRows + row));
        } else if constexpr (L.scales == PackedScales::kSigned) {
          scale[half] *= static_cast<float>(static_cast<std::int8_t>(own));
        } else if constexpr (L.scales == PackedScales::kNibbles) {
          scale[half] *= static_cast<float>(own & 15);
          minimum[half] *= static_cast<float>(own >> 4);
        }
      }
      for (std::size_t i = 0; i < kGroupValues; ++i) {
        const int code = code_at<L>(group + L.parameter_bytes(), row, i) - L.offset;
        *to++ = scale[i / 16] * static_cast<float>(code) - minimum[i / 16];
      }
    }
  }
}

// Calls body with the type as a constant.
template <class Body>
auto with_type(PackedType type, const Body& body) {
  switch (type) {
    case PackedType::kQ8_0:
      return body.template operator()<PackedType::kQ8_0>();
    case PackedType::kQ4_0:
      return body.template operator()<PackedType::kQ4_0>();
    case PackedType::kQ4_1:
      return body.template operator()<PackedType::kQ4_1>();
    case PackedType::kQ5_0:
      return body.template operator()<PackedType::kQ5_0>();
    case PackedType::kQ5_1:
      return body.template operator()<PackedType::kQ5_1>();
    case PackedType::kQ2_K:
      return body.template operator()<PackedType::kQ2_K>();
    case PackedType::kQ3_K:
      return body.template operator()<PackedType::kQ3_K>();
    case PackedType::kQ4_K:
      return body.template operator()<PackedType::kQ4_K>();
    case PackedType::kQ5_K:
      return body.template operator()<PackedType::kQ5_K>();
    case PackedType::kQ6_K:
      break;
  }
  return body.template operator()<PackedType::kQ6_K>();
}

}  // namespace

std::size_t panel_bytes(PackedType type, std::size_t cols) {
  const PackedLayout layout = packed_layout(type);
  return cols / kGroupValues / layout.block_groups * layout.block_bytes();
}

bool pack_panel(PackedType type, const std::byte* from, std::size_t rows, std::size_t cols,
                std::byte* panel) {
  return with_type(type, [&]<PackedType P>() { return pack<P>(from, rows, cols, panel); });
}

void unpack_row(PackedType type, const std::byte* panel, std::size_t row, std::size_t cols, float* to) {
  with_type(type, [&]<PackedType P>() { unpack<P>(panel, row, cols, to); });
}

}  // namespace sluice::kernels
