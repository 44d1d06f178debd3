// The kernels of attention.h, written over a struct `Simd` that names one instruction set's vectors. Included
// by each instruction set's file; everything has internal linkage for the reason in half.h.
#pragma once

#include <cstring>

#include "worker/kernels/attention.h"
#include "worker/kernels/elementwise.inl.h"
#include "worker/kernels/half.h"

namespace sluice::kernels {
namespace {

constexpr float kHalfLargest = 65504.0F;
constexpr float kNoScore = -__builtin_inff();
constexpr std::uint16_t kHalfNan = 0x7E00;

inline std::size_t smaller_of(std::size_t a, std::size_t b) {
  return a < b ? a : b;
}

// Keys of a block as single precision. `Element` is float or a half.
template <class Simd, class Element>
struct PlainKeys {
  const Element* rows;
  explicit PlainKeys(const std::byte* block, std::size_t) : rows(reinterpret_cast<const Element*>(block)) {}
  struct Scale {};
  Scale scale(std::size_t, std::size_t) const { return {}; }
  typename Simd::Vector load(std::size_t dim, std::size_t token, Scale) const {
    return Simd::load(rows + dim * kPageTokens + token);
  }
};

template <class Simd>
struct Int8Keys {
  const std::uint16_t* scales;
  const std::int8_t* rows;
  explicit Int8Keys(const std::byte* block, std::size_t head_dim)
      : scales(reinterpret_cast<const std::uint16_t*>(block)),
        rows(reinterpret_cast<const std::int8_t*>(block + kv_scale_bytes(KvType::kI8, head_dim))) {}
  using Scale = typename Simd::Vector;
  Scale scale(std::size_t group, std::size_t token) const {
    return Simd::load(scales + group * kPageTokens + token);
  }
  typename Simd::Vector load(std::size_t dim, std::size_t token, Scale scale) const {
    return Simd::multiply(Simd::load(rows + dim * kPageTokens + token), scale);
  }
};

template <class Simd, class Element>
struct PlainValues {
  const Element* rows;
  std::size_t padded;
  PlainValues(const std::byte* values, std::size_t head_dim)
      : rows(reinterpret_cast<const Element*>(values)), padded(kv_padded(head_dim)) {}
  typename Simd::Vector load(std::size_t token, std::size_t dim) const {
    return Simd::load(rows + token * padded + dim);
  }
};

template <class Simd>
struct Int8Values {
  const std::uint16_t* scales;
  const std::int8_t* rows;
  std::size_t groups;
  Int8Values(const std::byte* values, std::size_t head_dim)
      : scales(reinterpret_cast<const std::uint16_t*>(values)),
        rows(reinterpret_cast<const std::int8_t*>(values + kv_scale_bytes(KvType::kI8, head_dim))),
        groups(kv_groups(head_dim)) {}
  typename Simd::Vector load(std::size_t token, std::size_t dim) const {
    const float scale = Simd::one(scales[token * groups + dim / kKvGroup]);
    return Simd::multiply(Simd::load(rows + token * groups * kKvGroup + dim), Simd::broadcast(scale));
  }
};

// Scores of R queries with C vectors of neighbouring tokens, the same chain for every R and C.
template <class Simd, class Keys, int R, int C>
void score_strip(const Keys& keys, std::size_t head_dim, const PageQuery* queries, std::size_t token,
                 float (*scores)[kPageTokens]) {
  typename Simd::Vector sums[R][C];
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) sums[r][c] = Simd::zero();
  }
  const float* query[R];
  for (int r = 0; r < R; ++r) query[r] = queries[r].query;
  for (std::size_t begin = 0; begin < head_dim; begin += kKvGroup) {
    typename Keys::Scale scale[C];
    for (int c = 0; c < C; ++c) {
      scale[c] = keys.scale(begin / kKvGroup, token + static_cast<std::size_t>(c) * Simd::kLanes);
    }
    const std::size_t end = smaller_of(head_dim, begin + kKvGroup);
    for (std::size_t dim = begin; dim < end; ++dim) {
      typename Simd::Vector key[C];
      for (int c = 0; c < C; ++c) {
        key[c] = keys.load(dim, token + static_cast<std::size_t>(c) * Simd::kLanes, scale[c]);
      }
      for (int r = 0; r < R; ++r) {
        const typename Simd::Vector number = Simd::broadcast(query[r][dim]);
        for (int c = 0; c < C; ++c) sums[r][c] = Simd::multiply_add(number, key[c], sums[r][c]);
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) {
      Simd::store(scores[r] + token + static_cast<std::size_t>(c) * Simd::kLanes, sums[r][c]);
    }
  }
}

// Turns one query's scores into weights relative to the new largest score; returns what the older weights
// and values are to be multiplied with.
inline float weigh(const PageQuery& q, float scale, float* scores) {
  if (q.visible == 0) {
    for (std::size_t i = 0; i < kPageTokens; ++i) scores[i] = 0.0F;
    return 1.0F;
  }
  const int visible = static_cast<int>(q.visible);
  for (int i = 0; i < static_cast<int>(kPageTokens); ++i) {
    const float scaled = scores[i] * scale;
    scores[i] = i < visible ? scaled : kNoScore;
  }
  float best[16];
  for (std::size_t i = 0; i < 16; ++i) best[i] = scores[i] > scores[i + 16] ? scores[i] : scores[i + 16];
  for (std::size_t i = 0; i < 8; ++i) best[i] = best[i] > best[i + 8] ? best[i] : best[i + 8];
  for (std::size_t i = 0; i < 4; ++i) best[i] = best[i] > best[i + 4] ? best[i] : best[i + 4];
  const float left = best[0] > best[2] ? best[0] : best[2];
  const float right = best[1] > best[3] ? best[1] : best[3];
  const float page = left > right ? left : right;
  const float before = q.state[0];
  const float largest = before > page ? before : page;
  const float again = exp_approx(before - largest);
  for (std::size_t i = 0; i < kPageTokens; ++i) scores[i] = exp_approx(scores[i] - largest);
  q.state[0] = largest;
  float* sums = q.state + kStateSums;
  for (std::size_t i = 0; i < 16; ++i) sums[i] = sums[i] * again + (scores[i] + scores[i + 16]);
  return again;
}

// V vectors of the weighted values of R queries. Tokens that a query doesn't see take no part, not even with
// a weight of zero: they may hold anything.
template <class Simd, class Values, int R, int V>
void value_strip(const Values& values, std::size_t seen_by_all, std::size_t seen_by_any,
                 const PageQuery* queries, const float (*weights)[kPageTokens], const float* again,
                 std::size_t dim) {
  typename Simd::Vector sums[R][V];
  for (int r = 0; r < R; ++r) {
    const typename Simd::Vector factor = Simd::broadcast(again[r]);
    for (int v = 0; v < V; ++v) {
      const float* from = queries[r].state + kStateValues + dim + static_cast<std::size_t>(v) * Simd::kLanes;
      sums[r][v] = Simd::multiply(Simd::load(from), factor);
    }
  }
  for (std::size_t token = 0; token < seen_by_all; ++token) {
    typename Simd::Vector row[V];
    for (int v = 0; v < V; ++v) row[v] = values.load(token, dim + static_cast<std::size_t>(v) * Simd::kLanes);
    for (int r = 0; r < R; ++r) {
      const typename Simd::Vector weight = Simd::broadcast(weights[r][token]);
      for (int v = 0; v < V; ++v) sums[r][v] = Simd::multiply_add(weight, row[v], sums[r][v]);
    }
  }
  for (std::size_t token = seen_by_all; token < seen_by_any; ++token) {
    typename Simd::Vector row[V];
    for (int v = 0; v < V; ++v) row[v] = values.load(token, dim + static_cast<std::size_t>(v) * Simd::kLanes);
    for (int r = 0; r < R; ++r) {
      if (token >= queries[r].visible) continue;
      const typename Simd::Vector weight = Simd::broadcast(weights[r][token]);
      for (int v = 0; v < V; ++v) sums[r][v] = Simd::multiply_add(weight, row[v], sums[r][v]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) {
      Simd::store(queries[r].state + kStateValues + dim + static_cast<std::size_t>(v) * Simd::kLanes,
                  sums[r][v]);
    }
  }
}

template <class Simd, class Keys, class Values, int R>
void attend_tile(const PageAttention& page, const PageQuery* queries) {
  const Keys keys(page.block, page.head_dim);
  const Values values(page.block + kv_keys_bytes(page.type, page.head_dim), page.head_dim);
  alignas(64) float scores[R][kPageTokens];
  std::size_t seen_by_any = 0;
  std::size_t seen_by_all = kPageTokens;
  for (int r = 0; r < R; ++r) {
    seen_by_any = queries[r].visible > seen_by_any ? queries[r].visible : seen_by_any;
    seen_by_all = smaller_of(queries[r].visible, seen_by_all);
  }
  constexpr std::size_t kStrip = static_cast<std::size_t>(Simd::kKeyVectors) * Simd::kLanes;
  for (std::size_t token = 0; token < seen_by_any; token += kStrip) {
    score_strip<Simd, Keys, R, Simd::kKeyVectors>(keys, page.head_dim, queries, token, scores);
  }
  float again[R];
  for (int r = 0; r < R; ++r) {
    // Tokens that no query of the tile sees were not computed.
    for (std::size_t i = queries[r].visible; i < kPageTokens; ++i) scores[r][i] = 0.0F;
    again[r] = weigh(queries[r], page.scale, scores[r]);
  }
  constexpr std::size_t kWide = static_cast<std::size_t>(Simd::kValueVectors) * Simd::kLanes;
  const std::size_t padded = kv_padded(page.head_dim);
  std::size_t dim = 0;
  for (; dim + kWide <= padded; dim += kWide) {
    value_strip<Simd, Values, R, Simd::kValueVectors>(values, seen_by_all, seen_by_any, queries, scores,
                                                      again, dim);
  }
  for (; dim < padded; dim += Simd::kLanes) {
    value_strip<Simd, Values, R, 1>(values, seen_by_all, seen_by_any, queries, scores, again, dim);
  }
}

template <class Simd, class Keys, class Values, int R>
void attend_rows(const PageAttention& page, const PageQuery* queries, std::size_t count) {
  for (; count >= static_cast<std::size_t>(R); count -= static_cast<std::size_t>(R), queries += R) {
    attend_tile<Simd, Keys, Values, R>(page, queries);
  }
  if constexpr (R > 1) {
    if (count > 0) attend_rows<Simd, Keys, Values, R - 1>(page, queries, count);
  }
}

template <class Simd>
void attend_page(const PageAttention& page) {
  constexpr int kRows = Simd::kTileQueries;
  using Half = std::uint16_t;
  switch (page.type) {
    case KvType::kF32:
      return attend_rows<Simd, PlainKeys<Simd, float>, PlainValues<Simd, float>, kRows>(page, page.queries,
                                                                                        page.count);
    case KvType::kF16:
      return attend_rows<Simd, PlainKeys<Simd, Half>, PlainValues<Simd, Half>, kRows>(page, page.queries,
                                                                                      page.count);
    case KvType::kI8:
      return attend_rows<Simd, Int8Keys<Simd>, Int8Values<Simd>, kRows>(page, page.queries, page.count);
  }
}

// A group's scale (as a half) and its bytes.
inline std::uint16_t quantize_group(const float* from, std::size_t n, std::int8_t* to) {
  float largest = 0.0F;
  std::size_t odd = 0;  // Not finite: counted, so that the loop becomes vectors.
  for (std::size_t i = 0; i < n; ++i) {
    const float magnitude = float_of_bits(bits_of_float(from[i]) & 0x7FFFFFFFU);
    largest = magnitude > largest ? magnitude : largest;
    odd += (bits_of_float(from[i]) & 0x7F800000U) == 0x7F800000U ? 1 : 0;
  }
  const float wanted = largest / 127.0F;
  const std::uint16_t half = float_to_half(wanted > kHalfLargest ? kHalfLargest : wanted);
  const float scale = half_to_float(half);
  // By the scale as it is stored; below this its inverse would overflow.
  const float inverse = scale > 0.0F && odd == 0 ? 1.0F / scale : 0.0F;
  for (std::size_t i = 0; i < n; ++i) {
    float x = from[i] * inverse;
    x = x > 127.0F ? 127.0F : (x < -127.0F ? -127.0F : x);
    to[i] = static_cast<std::int8_t>(static_cast<std::int32_t>(bits_of_float(x + 12582912.0F) - 0x4B400000U));
  }
  return odd == 0 ? half : kHalfNan;
}

// `to` and `from` have kv_padded numbers.
template <class Simd>
void halves_of(const float* from, std::size_t padded, std::uint16_t* to) {
  for (std::size_t i = 0; i < padded; i += Simd::kLanes) {
    // Written so that what isn't a number passes.
    const typename Simd::Vector below = Simd::smaller(Simd::broadcast(kHalfLargest), Simd::load(from + i));
    Simd::store_halves(to + i, Simd::larger(Simd::broadcast(-kHalfLargest), below));
  }
}

constexpr std::size_t kChunk = 256;  // Numbers converted at a time; a multiple of kKvGroup.

template <class Simd>
void store_token(KvType type, std::byte* block, std::size_t head_dim, std::size_t slot, const float* key,
                 const float* value) {
  std::byte* const values = block + kv_keys_bytes(type, head_dim);
  const std::size_t padded = kv_padded(head_dim);
  const std::size_t groups = kv_groups(head_dim);
  const std::size_t scale_bytes = kv_scale_bytes(type, head_dim);
  alignas(64) float numbers[kChunk];
  for (std::size_t begin = 0; begin < padded; begin += kChunk) {
    const std::size_t count = smaller_of(kChunk, head_dim - begin);
    const std::size_t whole = smaller_of(kChunk, padded - begin);
    for (const bool is_key : {true, false}) {
      std::memcpy(numbers, (is_key ? key : value) + begin, count * sizeof(float));
      for (std::size_t i = count; i < whole; ++i) numbers[i] = 0.0F;
      if (type == KvType::kF32) {
        if (is_key) {
          float* const to = reinterpret_cast<float*>(block) + begin * kPageTokens + slot;
          for (std::size_t i = 0; i < count; ++i) to[i * kPageTokens] = numbers[i];
        } else {
          std::memcpy(reinterpret_cast<float*>(values) + slot * padded + begin, numbers,
                      whole * sizeof(float));
        }
      } else if (type == KvType::kF16) {
        alignas(64) std::uint16_t halves[kChunk];
        halves_of<Simd>(numbers, whole, halves);
        if (is_key) {
          std::uint16_t* const to = reinterpret_cast<std::uint16_t*>(block) + begin * kPageTokens + slot;
          for (std::size_t i = 0; i < count; ++i) to[i * kPageTokens] = halves[i];
        } else {
          std::memcpy(reinterpret_cast<std::uint16_t*>(values) + slot * padded + begin, halves,
                      whole * sizeof(std::uint16_t));
        }
      } else {
        std::uint16_t* const scales = reinterpret_cast<std::uint16_t*>(is_key ? block : values);
        std::byte* const rows = (is_key ? block : values) + scale_bytes;
        for (std::size_t at = 0; at < whole; at += kKvGroup) {
          const std::size_t group = (begin + at) / kKvGroup;
          std::int8_t bytes[kKvGroup];
          const std::uint16_t scale = quantize_group(numbers + at, kKvGroup, bytes);
          if (is_key) {
            scales[group * kPageTokens + slot] = scale;
            const std::size_t own = smaller_of(kKvGroup, head_dim - begin - at);
            for (std::size_t i = 0; i < own; ++i) {
              rows[(begin + at + i) * kPageTokens + slot] = static_cast<std::byte>(bytes[i]);
            }
          } else {
            scales[slot * groups + group] = scale;
            std::memcpy(rows + slot * padded + begin + at, bytes, kKvGroup);
          }
        }
      }
    }
  }
}

inline void clear_state(float* state, std::size_t head_dim) {
  std::memset(state, 0, kv_state_floats(head_dim) * sizeof(float));
  state[0] = kNoScore;
}

inline void merge_states(float* state, const float* later, std::size_t head_dim) {
  const float largest = state[0] > later[0] ? state[0] : later[0];
  const float a = exp_approx(state[0] - largest);
  const float b = exp_approx(later[0] - largest);
  state[0] = largest;
  const std::size_t end = kv_state_floats(head_dim);
  for (std::size_t i = kStateSums; i < end; ++i) state[i] = state[i] * a + later[i] * b;
}

inline void finish_state(const float* state, std::size_t head_dim, float* out) {
  float sums[8];
  for (std::size_t i = 0; i < 8; ++i) sums[i] = state[kStateSums + i] + state[kStateSums + 8 + i];
  const float sum = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
  const float inverse = 1.0F / sum;
  for (std::size_t i = 0; i < head_dim; ++i) out[i] = state[kStateValues + i] * inverse;
}

template <class Simd>
constexpr AttentionKernels attention_kernels() {
  return {.attend = attend_page<Simd>,
          .store = store_token<Simd>,
          .clear = clear_state,
          .merge = merge_states,
          .finish = finish_state};
}

}  // namespace
}  // namespace sluice::kernels
