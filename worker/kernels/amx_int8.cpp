// For CPUs with AMX-INT8 beside AVX-512 and VNNI. This file is compiled with those flags: it may include
// nothing but intrinsics and headers of internal linkage (see half.h).
//
// The tile unit multiplies 16 tokens × 32 columns by 32 columns × 16 rows at once, which is a group of a
// panel as it lies in memory. Single tokens and odd small tiles go through VNNI: the integers are exact, and
// the arithmetic around them is the same, so the bits don't depend on which of the two computed an output.
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the undefined registers inside its own AVX-512 header for a mistake of the caller.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "worker/kernels/avx512_float.inl.h"
#include "worker/kernels/kernel_set.inl.h"
#include "worker/kernels/panel512.inl.h"
#include "worker/kernels/tables.h"

namespace sluice::kernels {
namespace {

// Up to so many tokens VNNI is faster: its weights are unpacked into registers and meet one after the other.
constexpr std::size_t kVnniTokens = kTileTokens;
// Of more, what is left of the last tile goes through the tile unit from so many on.
constexpr std::size_t kTileUnitTokens = 6;
// Groups that are unpacked at a time: their codes are half of a first-level cache.
constexpr std::size_t kUnpackedGroups = 48;

// The compiler doesn't know what the tile instructions read: stores before this are made before loads after
// it.
inline void settle_stores() {
  asm volatile("" ::: "memory");
}

// What LDTILECFG reads. Registers 0 and 1 hold products, 2 activations, 3 weights.
struct alignas(64) TileShapes {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};
static_assert(sizeof(TileShapes) == 64);

// For products of `tokens` tokens and `columns` columns.
void shape_tiles(std::size_t tokens, std::size_t columns) {
  TileShapes shapes;
  const auto set = [&](int tile, std::size_t rows, std::size_t row_bytes) {
    shapes.rows[tile] = static_cast<std::uint8_t>(rows);
    shapes.row_bytes[tile] = static_cast<std::uint16_t>(row_bytes);
  };
  set(0, tokens, kLineBytes);
  set(1, tokens, kLineBytes);
  set(2, tokens, columns);
  set(3, columns / 4, kLineBytes);
  set(4, tokens, columns);
  set(5, columns / 4, kLineBytes);
  settle_stores();
  _tile_loadconfig(&shapes);
}

// A panel's groups taken apart: signed codes, line by line, and scales.
struct Unpacked {
  alignas(64) std::int8_t codes[kUnpackedGroups][kGroupQuads][kLineBytes];
  alignas(64) float scales[kUnpackedGroups][2][kPanelRows];
  alignas(64) float minima[kUnpackedGroups][2][kPanelRows];
};

template <PackedLayout L>
void unpack_groups(const std::byte* block, std::size_t groups, Unpacked& to) {
  for (std::size_t g = 0; g < groups;) {
    const __m512 head_scale = Vnni512::halves(block);
    __m512 head_minimum = Vnni512::zero();
    if constexpr (L.minima) head_minimum = Vnni512::halves(block + 2 * kPanelRows);
    block += L.head_bytes();
    for (std::size_t j = 0; j < L.block_groups; ++j, ++g, block += L.group_bytes()) {
      for (std::size_t line = 0; line < L.group_bytes(); line += kLineBytes) {
        __builtin_prefetch(block + Vnni512::kPrefetchBytes + line);
      }
      __m512 scale[2], minimum[2];
      unpack_scales<Vnni512, L>(block, head_scale, head_minimum, scale, minimum);
      unrolled<L.parts>([&](auto part) __attribute__((always_inline)) {
        _mm512_store_ps(to.scales[g][part], scale[part]);
        if constexpr (L.minima) _mm512_store_ps(to.minima[g][part], minimum[part]);
      });
      if constexpr (L.low_bits == 8) {
        // Moved as they are: a tile is slow to load where its lines lie across the cache's.
        unrolled<kGroupQuads>([&](auto q) __attribute__((always_inline)) {
          _mm512_store_si512(to.codes[g][q],
                             _mm512_loadu_si512(block + L.parameter_bytes() + q * kLineBytes));
        });
      } else {
        __m512i codes[kGroupQuads];
        unpack_codes<Vnni512, L>(block + L.parameter_bytes(), codes);
        const __m512i offset = _mm512_set1_epi8(static_cast<char>(L.offset));
        unrolled<kGroupQuads>([&](auto q) __attribute__((always_inline)) {
          _mm512_store_si512(to.codes[g][q], _mm512_sub_epi8(codes[q], offset));
        });
      }
    }
  }
}

// Products of one group, 16 numbers for each token; those of its second half beside them.
struct Dots {
  alignas(64) std::int32_t of[2][kTileTokens][kPanelRows];
};

template <PackedLayout L>
inline __attribute__((always_inline)) void multiply_group(const std::int8_t* values, const std::int8_t* codes,
                                                          Dots& dots) {
  _tile_zero(0);
  _tile_loadd(2, values, kGroupValues);
  _tile_loadd(3, codes, kLineBytes);
  _tile_dpbssd(0, 2, 3);
  _tile_stored(0, dots.of[0], kLineBytes);
  if constexpr (L.parts == 2) {
    _tile_zero(1);
    _tile_loadd(4, values + 16, kGroupValues);
    _tile_loadd(5, codes + 4 * kLineBytes, kLineBytes);
    _tile_dpbssd(1, 4, 5);
    _tile_stored(1, dots.of[1], kLineBytes);
  }
}

struct GroupScales {
  __m512 scale[2];
  __m512 minimum[2];
};

// As add_group() in packed_matmul.inl.h, operation by operation.
template <PackedLayout L>
inline __attribute__((always_inline)) __m512 with_group(__m512 sum, const GroupScales& w, const Dots& dots,
                                                        const TokenTile& x, std::size_t at, std::size_t t) {
  __m512 scaled = _mm512_mul_ps(w.scale[0], _mm512_cvtepi32_ps(_mm512_load_si512(dots.of[0][t])));
  if constexpr (L.parts == 2) {
    scaled = _mm512_fmadd_ps(w.scale[1], _mm512_cvtepi32_ps(_mm512_load_si512(dots.of[1][t])), scaled);
  }
  sum = _mm512_fmadd_ps(scaled, _mm512_set1_ps(x.scales[at + t]), sum);
  if constexpr (L.minima) {
    const float* sums = static_cast<const float*>(x.sums) + at * L.parts;
    sum = _mm512_fnmadd_ps(w.minimum[0], _mm512_set1_ps(sums[t]), sum);
    if constexpr (L.parts == 2) sum = _mm512_fnmadd_ps(w.minimum[1], _mm512_set1_ps(sums[x.pitch + t]), sum);
  }
  return sum;
}

// A tile's outputs so far (none: `fresh`), added to by `groups` groups of one panel, from group `first` on.
// T: the tile's tokens, whose sums stay in registers then; 0: any number.
template <PackedLayout L, int T>
void add_groups(const Unpacked& w, std::size_t first, std::size_t groups, const TokenTile& x, float* y,
                std::size_t y_stride, __mmask16 rows) {
  Dots dots;
  __m512 sums[T > 0 ? T : kTileTokens];
  const bool fresh = first == 0;
  const auto each_token = [&](const auto& body) __attribute__((always_inline)) {
    if constexpr (T > 0) {
      unrolled<T>(body);
    } else {
      for (std::size_t t = 0; t < x.pitch; ++t) body(t);
    }
  };
  each_token([&](auto t) __attribute__((always_inline)) {
    sums[t] = fresh ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(rows, y + t * y_stride);
  });
  for (std::size_t g = 0; g < groups; ++g) {
    const std::size_t at = (first + g) * x.pitch;
    multiply_group<L>(x.values + at * kGroupValues, w.codes[g][0], dots);
    GroupScales scales;
    unrolled<L.parts>([&](auto part) __attribute__((always_inline)) {
      scales.scale[part] = _mm512_load_ps(w.scales[g][part]);
      if constexpr (L.minima) scales.minimum[part] = _mm512_load_ps(w.minima[g][part]);
    });
    each_token([&](auto t) __attribute__((always_inline)) {
      sums[t] = with_group<L>(sums[t], scales, dots, x, at, t);
    });
  }
  each_token([&](auto t)
                 __attribute__((always_inline)) { _mm512_mask_storeu_ps(y + t * y_stride, rows, sums[t]); });
}

template <PackedType P>
void amx_matmul(const PackedMatmul& m) {
  constexpr PackedLayout L = packed_layout(P);
  static_assert(kUnpackedGroups % L.block_groups == 0);
  if (m.x.tokens <= kVnniTokens) return packed_matmul<Vnni512, P>(m);
  const std::size_t last_tokens = m.x.tokens % kTileTokens;
  const bool split = last_tokens > 0 && last_tokens < kTileUnitTokens;
  const std::size_t tokens_here = split ? m.x.tokens - last_tokens : m.x.tokens;
  const std::size_t groups = m.cols / kGroupValues;
  if (split) {
    PackedMatmul rest = m;
    rest.x.values += tokens_here * m.cols;
    rest.x.scales += tokens_here * groups;
    rest.x.sums = static_cast<const std::int32_t*>(m.x.sums) + tokens_here * groups * L.parts;
    rest.x.tokens = last_tokens;
    rest.y += tokens_here * m.y_stride;
    packed_matmul<Vnni512, P>(rest);
  }
  if (tokens_here == 0) return;
  const std::size_t panel_bytes = groups / L.block_groups * L.block_bytes();
  Unpacked unpacked;
  std::size_t shaped = 0;
  // Stretches of columns outermost: a stretch of all tokens stays in the second-level cache while the panels
  // pass by. Sums rest in the output between two stretches; no bit of them is lost there.
  for (std::size_t first = 0; first < groups; first += kUnpackedGroups) {
    const std::size_t count = groups - first < kUnpackedGroups ? groups - first : kUnpackedGroups;
    for (std::size_t row = 0; row < m.rows; row += kPanelRows) {
      const std::size_t rows = m.rows - row < kPanelRows ? m.rows - row : kPanelRows;
      const __mmask16 mask = static_cast<__mmask16>((1U << rows) - 1);
      const std::byte* block = static_cast<const std::byte*>(m.panels) + row / kPanelRows * panel_bytes +
                               first / L.block_groups * L.block_bytes();
      unpack_groups<L>(block, count, unpacked);
      settle_stores();
      for (std::size_t token = 0; token < tokens_here; token += kTileTokens) {
        const std::size_t tokens = tokens_here - token < kTileTokens ? tokens_here - token : kTileTokens;
        if (tokens != shaped) shape_tiles(tokens, kGroupValues / L.parts);
        shaped = tokens;
        const TokenTile x{m.x.values + token * m.cols, m.x.scales + token * groups,
                          static_cast<const std::int32_t*>(m.x.sums) + token * groups * L.parts, tokens};
        float* y = m.y + token * m.y_stride + row;
        if (tokens == kTileTokens) {
          add_groups<L, kTileTokens>(unpacked, first, count, x, y, m.y_stride, mask);
        } else {
          add_groups<L, 0>(unpacked, first, count, x, y, m.y_stride, mask);
        }
      }
    }
  }
  _tile_release();
}

// Two chains of products, as there are two registers to hold them above.
double amx_peak(std::size_t rounds) {
  alignas(64) std::int8_t ones[16][64];
  __builtin_memset(ones, 1, sizeof ones);
  shape_tiles(kTileTokens, 64);
  settle_stores();
  _tile_loadd(2, ones, kLineBytes);
  _tile_loadd(3, ones, kLineBytes);
  _tile_zero(0);
  _tile_zero(1);
  for (std::size_t round = 0; round < rounds; ++round) {
    _tile_dpbssd(0, 2, 3);
    _tile_dpbssd(1, 2, 3);
  }
  _tile_release();
  return 2.0 * 2.0 * 16.0 * 16.0 * 64.0 * static_cast<double>(rounds);
}

constexpr KernelSet amx_set() {
  KernelSet set = kernel_set<Avx512Float, Vnni512>("amx-int8", &kAvx512Attention);
  set.matmul_packed = {amx_matmul<PackedType::kQ8_0>, amx_matmul<PackedType::kQ4_0>,
                       amx_matmul<PackedType::kQ4_1>, amx_matmul<PackedType::kQ5_0>,
                       amx_matmul<PackedType::kQ5_1>, amx_matmul<PackedType::kQ2_K>,
                       amx_matmul<PackedType::kQ3_K>, amx_matmul<PackedType::kQ4_K>,
                       amx_matmul<PackedType::kQ5_K>, amx_matmul<PackedType::kQ6_K>};
  set.peaks.bytes = amx_peak;
  set.peaks.nibbles = amx_peak;
  return set;
}

}  // namespace

const KernelSet kAmxInt8Kernels = amx_set();

}  // namespace sluice::kernels
