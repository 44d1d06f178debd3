// Packed weights times int8 activations, written over a struct `Simd` that names one instruction set's
// vectors and over the layout. Included by each instruction set's file; everything has internal linkage for
// the reason in half.h.
//
// The weights of a group are taken apart once into registers, then meet one token after the other. Every
// output is one lane of one accumulator that walks the groups in order,
//   sum := sum + activation_scale × (scale × dot)   and, with minima,   sum := sum - minimum × token_sum,
// with `dot` exact in 32-bit integers: the same for any number of tokens.
//
// `Simd` has
//   kRows        rows in a register: 16, or 8 (then a panel is walked twice)
//   kPanels      panels whose weights are in registers at a time
//   kSignedBytes codes of 8 bits are wanted signed; else they are made unsigned
//   kFloatDots   products may start from kFloatStart, see below; then there is
//                fused(a, b, c): a × b - c, rounded once
// and Codes, Ints, Floats, with the functions below on them. dots<Bits, First, Quads>(w, x, start, to) makes,
// for each of P panels, start[r] + Σ over 4 × Quads columns of w[r] · x; w holds codes of so many bits, and
// the first of them are those of quad First.
#pragma once

#include <array>
#include <type_traits>
#include <utility>

#include "worker/kernels/kernels.h"
#include "worker/kernels/packed_layout.h"

namespace sluice::kernels {
namespace {

// The codes of one group, for rows from `half` × kRows on.
template <class Simd, PackedLayout L>
inline __attribute__((always_inline)) void unpack_codes(const std::byte* lines,
                                                        typename Simd::Codes (&w)[kGroupQuads]) {
  using Codes = typename Simd::Codes;
  const std::byte* low = lines + L.high_bytes();
  if constexpr (L.low_bits == 8) {
    for (std::size_t q = 0; q < 8; ++q) w[q] = Simd::whole_bytes(Simd::load(low + q * kLineBytes));
    return;
  }
  if constexpr (L.low_bits == 4) {
    const Codes mask = Simd::bytes(0x0F);
    for (std::size_t i = 0; i < 4; ++i) {
      const Codes line = Simd::load(low + i * kLineBytes);
      w[i] = Simd::both(line, mask);
      w[i + 4] = Simd::both(Simd::template right<4>(line), mask);
    }
  }
  if constexpr (L.low_bits == 2) {
    const Codes mask = Simd::bytes(0x03);
    for (std::size_t i = 0; i < 2; ++i) {
      const Codes line = Simd::load(low + i * kLineBytes);
      w[4 * i] = Simd::both(line, mask);
      w[4 * i + 1] = Simd::both(Simd::template right<2>(line), mask);
      w[4 * i + 2] = Simd::both(Simd::template right<4>(line), mask);
      w[4 * i + 3] = Simd::both(Simd::template right<6>(line), mask);
    }
  }
  // A bit's place in the line, less its place in the code, is how far it has to move.
  if constexpr (L.high_bits == 2) {
    static_assert(L.low_bits == 4);
    const Codes mask = Simd::bytes(0x30);
    for (std::size_t i = 0; i < 2; ++i) {
      const Codes line = Simd::load(lines + i * kLineBytes);
      w[4 * i] = Simd::either(w[4 * i], Simd::both(Simd::template left<4>(line), mask));
      w[4 * i + 1] = Simd::either(w[4 * i + 1], Simd::both(Simd::template left<2>(line), mask));
      w[4 * i + 2] = Simd::either(w[4 * i + 2], Simd::both(line, mask));
      w[4 * i + 3] = Simd::either(w[4 * i + 3], Simd::both(Simd::template right<2>(line), mask));
    }
  }
  if constexpr (L.high_bits == 1) {
    const Codes mask = Simd::bytes(1 << L.low_bits);
    const Codes line = Simd::load(lines);
    const auto add = [&]<int Q>(std::integral_constant<int, Q>) {
      constexpr int kMove = L.low_bits - Q;
      Codes moved;
      if constexpr (kMove >= 0) {
        moved = Simd::template left<kMove>(line);
      } else {
        moved = Simd::template right<-kMove>(line);
      }
      w[Q] = Simd::either(w[Q], Simd::both(moved, mask));
    };
    [&]<int... Q>(std::integer_sequence<int, Q...>) {
      (add(std::integral_constant<int, Q>{}), ...);
    }
    (std::make_integer_sequence<int, 8>{});
  }
}

// Scales (and minima) of one group from its head's and its own parameters.
template <class Simd, PackedLayout L>
inline __attribute__((always_inline)) void unpack_scales(const std::byte* parameters,
                                                         typename Simd::Floats head_scale,
                                                         typename Simd::Floats head_minimum,
                                                         typename Simd::Floats (&scale)[2],
                                                         typename Simd::Floats (&minimum)[2]) {
  if constexpr (L.scales == PackedScales::kOfHead) {
    scale[0] = head_scale;
    minimum[0] = head_minimum;
  } else if constexpr (L.scales == PackedScales::kUnsigned) {
    scale[0] = Simd::multiply(head_scale, Simd::unsigned_bytes(parameters));
    minimum[0] = Simd::multiply(head_minimum, Simd::unsigned_bytes(parameters + kPanelRows));
  } else {
    for (std::size_t part = 0; part < 2; ++part) {
      const std::byte* from = parameters + part * kPanelRows;
      if constexpr (L.scales == PackedScales::kSigned) {
        scale[part] = Simd::multiply(head_scale, Simd::signed_bytes(from));
      } else {
        scale[part] = Simd::multiply(head_scale, Simd::low_nibbles(from));
        minimum[part] = Simd::multiply(head_minimum, Simd::high_nibbles(from));
      }
    }
  }
}

// What a product starts from, so that it comes out as if codes had their offset taken off: -8 × Σ x
// turned into -offset × Σ x.
template <class Simd, PackedLayout L>
inline __attribute__((always_inline)) typename Simd::Ints start_of(const void* sums, std::size_t at) {
  if constexpr (L.minima || (L.low_bits == 8 && Simd::kSignedBytes)) {
    return Simd::zero_ints();
  } else {
    const typename Simd::Ints bias = Simd::broadcast(static_cast<const std::int32_t*>(sums)[at]);
    if constexpr (L.offset == 4) return Simd::template right_ints<1>(bias);
    if constexpr (L.offset == 16) return Simd::template left_ints<1>(bias);
    if constexpr (L.offset == 32) return Simd::template left_ints<2>(bias);
    if constexpr (L.offset == 128) return Simd::template left_ints<4>(bias);
    return bias;
  }
}

// 1.5 × 2^23, and its bits. A product that starts from them as an integer is, read as a float, that number
// plus the product: no conversion. It is taken off while the scale is multiplied, with one rounding, which is
// the product's own: scales have so few digits (11 of a half, 8 of a factor) that the number times one is
// exact.
constexpr float kFloatStart = 12582912.0F;
constexpr std::int32_t kFloatStartBits = 0x4B400000;
constexpr std::int32_t kFloatStartRoom = 1 << 22;  // Products must stay below.
static_assert(kGroupValues * 128 * 127 < kFloatStartRoom);

// Of weights that are multiplied by all tokens before the next are read.
constexpr std::size_t kCachedBytes = 256 * 1024;

// Tokens that lie `pitch` to a group, and where the first of them begins.
struct TokenTile {
  const std::int8_t* values;
  const float* scales;
  const void* sums;  // The tile's first.
  std::size_t pitch;
};

// Calls body(0), …, body(N - 1), each number a constant: only so do arrays that it indexes become registers.
template <int N, class Body>
inline __attribute__((always_inline)) void unrolled(const Body& body) {
  [&]<std::size_t... I>(std::index_sequence<I...>) __attribute__((always_inline)) {
    (body(std::integral_constant<std::size_t, I>{}), ...);
  }
  (std::make_index_sequence<static_cast<std::size_t>(N)>{});
}

// Weights of one group: P registers' rows of as many panels.
template <class Simd, int P>
struct GroupWeights {
  typename Simd::Codes codes[P][kGroupQuads];
  typename Simd::Floats scale[P][2];
  typename Simd::Floats minimum[P][2];
  typename Simd::Floats start[P];  // Of the first scale: kFloatStart times it, where dots are floats.
};

// One token's group added to the token's sums: P numbers, `stride` apart.
template <class Simd, PackedLayout L, int P>
inline __attribute__((always_inline)) void add_group(const GroupWeights<Simd, P>& w, const TokenTile& x,
                                                     std::size_t group, std::size_t t,
                                                     typename Simd::Floats* sums, std::size_t stride) {
  using Floats = typename Simd::Floats;
  using Ints = typename Simd::Ints;
  const std::size_t at = group * x.pitch + t;
  const std::size_t first_half = at + group * x.pitch;
  const std::size_t second_half = first_half + x.pitch;
  const std::int8_t* values = x.values + at * kGroupValues;
  Floats scaled[P];
  Ints dots[P];
  const auto start_at = [&](std::size_t sums_at) __attribute__((always_inline)) {
    const Ints start = start_of<Simd, L>(x.sums, sums_at);
    if constexpr (Simd::kFloatDots) return Simd::add_ints(start, Simd::broadcast(kFloatStartBits));
    if constexpr (!Simd::kFloatDots) return start;
  };
  const auto scale_first = [&](auto p) __attribute__((always_inline)) {
    if constexpr (Simd::kFloatDots) {
      scaled[p] = Simd::fused(Simd::as_floats(dots[p]), w.scale[p][0], w.start[p]);
    } else {
      scaled[p] = Simd::multiply(w.scale[p][0], Simd::to_floats(dots[p]));
    }
  };
  if constexpr (L.parts == 1) {
    Simd::template dots<L.bits(), 0, 8>(w.codes, values, start_at(at), dots);
    unrolled<P>(scale_first);
  } else {
    Simd::template dots<L.bits(), 0, 4>(w.codes, values, start_at(first_half), dots);
    unrolled<P>(scale_first);
    Simd::template dots<L.bits(), 4, 4>(w.codes, values, start_of<Simd, L>(x.sums, second_half), dots);
    unrolled<P>([&](auto p) __attribute__((always_inline)) {
      scaled[p] = Simd::multiply_add(w.scale[p][1], Simd::to_floats(dots[p]), scaled[p]);
    });
  }
  const Floats scale = Simd::broadcast(x.scales[at]);
  unrolled<P>([&](auto p) __attribute__((always_inline)) {
    Floats sum = Simd::multiply_add(scaled[p], scale, sums[p * stride]);
    if constexpr (L.minima) {
      const float* token_sums = static_cast<const float*>(x.sums);
      if constexpr (L.parts == 1) {
        sum = Simd::subtract_product(w.minimum[p][0], Simd::broadcast(token_sums[at]), sum);
      } else {
        sum = Simd::subtract_product(w.minimum[p][0], Simd::broadcast(token_sums[first_half]), sum);
        sum = Simd::subtract_product(w.minimum[p][1], Simd::broadcast(token_sums[second_half]), sum);
      }
    }
    sums[p * stride] = sum;
  });
}

// kRows rows each of P panels, which lie `stride` bytes apart, against a tile: one token if T is 1, else as
// many as the tile has. Writes P × kTileTokens sums.
template <class Simd, PackedLayout L, int P, int T>
void panels_times_tokens(const std::byte* panels, std::size_t stride, std::size_t half, std::size_t groups,
                         const TokenTile& x, typename Simd::Floats* out) {
  using Floats = typename Simd::Floats;
  Floats single[P];  // One token's sums stay in registers.
  if constexpr (T == 1) {
    unrolled<P>([&](auto p) __attribute__((always_inline)) { single[p] = Simd::zero(); });
  } else {
    for (std::size_t t = 0; t < P * kTileTokens; ++t) out[t] = Simd::zero();
  }
  const std::size_t first_row = half * Simd::kRows;
  const std::byte* at = panels;
  std::size_t g = 0;
  while (g < groups) {
    Floats head_scale[P], head_minimum[P];
    unrolled<P>([&](auto p) __attribute__((always_inline)) {
      head_scale[p] = Simd::halves(at + p * stride + first_row * 2);
      head_minimum[p] = Simd::zero();
      if constexpr (L.minima) head_minimum[p] = Simd::halves(at + p * stride + (kPanelRows + first_row) * 2);
    });
    at += L.head_bytes();
    for (std::size_t j = 0; j < L.block_groups; ++j, ++g, at += L.group_bytes()) {
      GroupWeights<Simd, P> w;
      unrolled<P>([&](auto p) __attribute__((always_inline)) {
        const std::byte* group = at + p * stride;
        if constexpr (Simd::kPrefetchBytes > 0) {
          unrolled<(L.group_bytes() + kLineBytes - 1) / kLineBytes>([&](auto line) __attribute__((
              always_inline)) { __builtin_prefetch(group + Simd::kPrefetchBytes + line * kLineBytes); });
        }
        unpack_codes<Simd, L>(group + L.parameter_bytes() + half * (kLineBytes / 2), w.codes[p]);
        unpack_scales<Simd, L>(group + first_row, head_scale[p], head_minimum[p], w.scale[p], w.minimum[p]);
        if constexpr (Simd::kFloatDots)
          w.start[p] = Simd::multiply(w.scale[p][0], Simd::broadcast(kFloatStart));
      });
      if constexpr (T == 1) {
        add_group<Simd, L, P>(w, x, g, 0, single, 1);
      } else {
        for (std::size_t t = 0; t < x.pitch; ++t) add_group<Simd, L, P>(w, x, g, t, out + t, kTileTokens);
      }
    }
  }
  if constexpr (T == 1) {
    unrolled<P>([&](auto p) __attribute__((always_inline)) { out[p * kTileTokens] = single[p]; });
  }
}

// P panels' rows, `rows` of them wanted, against a tile of tokens.
template <class Simd, PackedLayout L, int P>
void panels_times_tile(const std::byte* panels, std::size_t stride, std::size_t groups, const TokenTile& x,
                       float* y, std::size_t y_stride, std::size_t rows) {
  typename Simd::Floats sums[P * kTileTokens];
  for (std::size_t half = 0; half < kPanelRows / Simd::kRows; ++half) {
    if (x.pitch == 1) {
      panels_times_tokens<Simd, L, P, 1>(panels, stride, half, groups, x, sums);
    } else {
      panels_times_tokens<Simd, L, P, 0>(panels, stride, half, groups, x, sums);
    }
    for (std::size_t p = 0; p < P; ++p) {
      const std::size_t row = p * kPanelRows + half * Simd::kRows;
      if (row >= rows) break;
      for (std::size_t t = 0; t < x.pitch; ++t) {
        Simd::store(y + t * y_stride + row, sums[p * kTileTokens + t], rows - row);
      }
    }
  }
}

template <class Simd, PackedType P>
void packed_matmul(const PackedMatmul& m) {
  constexpr PackedLayout L = packed_layout(P);
  const std::size_t groups = m.cols / kGroupValues;
  const std::size_t panel_bytes = groups / L.block_groups * L.block_bytes();
  const std::byte* panels = static_cast<const std::byte*>(m.panels);
  // So many panels stay in the second-level cache while all tokens pass by.
  const std::size_t together = panel_bytes < kCachedBytes ? kCachedBytes / panel_bytes : 1;
  for (std::size_t first = 0; first < m.rows; first += together * kPanelRows) {
    const std::size_t last = m.rows - first < together * kPanelRows ? m.rows : first + together * kPanelRows;
    for (std::size_t token = 0; token < m.x.tokens; token += kTileTokens) {
      const std::size_t tokens = m.x.tokens - token < kTileTokens ? m.x.tokens - token : kTileTokens;
      const TokenTile x{m.x.values + token * m.cols, m.x.scales + token * groups,
                        static_cast<const std::int32_t*>(m.x.sums) + token * groups * L.parts, tokens};
      float* y = m.y + token * m.y_stride;
      std::size_t row = first;
      // One token is bound by memory: one stream at a time is read best.
      if constexpr (Simd::kPanels > 1) {
        constexpr std::size_t kRowsTogether = Simd::kPanels * kPanelRows;
        for (; tokens > 1 && row + kRowsTogether <= (last + kPanelRows - 1) / kPanelRows * kPanelRows;
             row += kRowsTogether) {
          panels_times_tile<Simd, L, Simd::kPanels>(panels + row / kPanelRows * panel_bytes, panel_bytes,
                                                    groups, x, y + row, m.y_stride, last - row);
        }
      }
      for (; row < last; row += kPanelRows) {
        panels_times_tile<Simd, L, 1>(panels + row / kPanelRows * panel_bytes, panel_bytes, groups, x,
                                      y + row, m.y_stride, last - row);
      }
    }
  }
}

// In the order of PackedType.
template <class Simd>
constexpr std::array<void (*)(const PackedMatmul&), kPackedTypes> packed_matmuls() {
  return {packed_matmul<Simd, PackedType::kQ8_0>, packed_matmul<Simd, PackedType::kQ4_0>,
          packed_matmul<Simd, PackedType::kQ4_1>, packed_matmul<Simd, PackedType::kQ5_0>,
          packed_matmul<Simd, PackedType::kQ5_1>, packed_matmul<Simd, PackedType::kQ2_K>,
          packed_matmul<Simd, PackedType::kQ3_K>, packed_matmul<Simd, PackedType::kQ4_K>,
          packed_matmul<Simd, PackedType::kQ5_K>, packed_matmul<Simd, PackedType::kQ6_K>};
}

}  // namespace
}  // namespace sluice::kernels
