#include "bench/model/random_blocks.h"

#include <cmath>
#include <cstring>

#include "common/base/check.h"
#include "worker/kernels/half.h"

namespace sluice::bench {
namespace {

constexpr std::uint64_t rotated(std::uint64_t x, int by) {
  return (x << by) | (x >> (64 - by));
}

// The standard deviation of `levels` whole numbers in a row, all equally likely.
float spread(int levels) {
  return std::sqrt(static_cast<float>(levels * levels - 1) / 12.0F);
}

// Writes one tensor's piece, block by block.
class Filler {
 public:
  Filler(std::uint64_t seed, float deviation, std::span<std::byte> to)
      : rng_(seed), deviation_(deviation), at_(to.data()), end_(to.data() + to.size()) {}

  bool done() const { return at_ == end_; }

  void f32() { put(number()); }
  void f16() { put(kernels::float_to_half(number())); }
  void bf16() { put(static_cast<std::uint16_t>(kernels::bits_of_float(number()) >> 16)); }

  // One scale and quants around zero. The quants' range is one longer below zero than above: a scale of
  // either sign (as real quantizers write it) keeps the mean at zero.
  void scaled(int levels, std::size_t quant_bytes) {
    put_half(either_sign(scale(levels)));
    bytes(quant_bytes);
  }

  // One scale, one offset, quants from 0 on.
  void offset(int levels, std::size_t quant_bytes) {
    const float d = scale(levels);
    put_half(d);
    put_half(-d * static_cast<float>(levels - 1) / 2.0F);
    bytes(quant_bytes);
  }

  void q8_0() {
    const float d = scale(255);
    put_half(d);
    for (int i = 0; i < 4; ++i) {
      std::uint64_t eight = rng_.next();
      // -128 is not a quant that quantizers write: bytes of that value become 0.
      for (int byte = 0; byte < 8; ++byte) {
        if (((eight >> (8 * byte)) & 0xFF) == 0x80) eight &= ~(std::uint64_t{0xFF} << (8 * byte));
      }
      put(eight);
    }
  }

  void q2_k() {
    // 16 parts, each a scale and an offset in 4 bits; the same number in both centres the part.
    for (int i = 0; i < 16; ++i) {
      const std::uint8_t part = static_cast<std::uint8_t>(8 + (rng_.next() & 7));
      put(static_cast<std::uint8_t>(part | (part << 4)));
    }
    bytes(64);
    const float d = scale(4) / 11.5F;
    put_half(d);
    put_half(d * 1.5F);
  }

  void q3_k() {
    bytes(32);  // High bits.
    bytes(64);  // Low bits.
    bytes(12);  // 16 scales of 6 bits, 32 standing for none: of either sign.
    put_half(scale(8) / spread(64));
  }

  // Q4_K, Q5_K: 8 parts, each a scale and an offset in 6 bits.
  void k_with_offsets(int levels, std::size_t quant_bytes) {
    const float d = scale(levels) / 47.5F;
    put_half(d);
    put_half(d * static_cast<float>(levels - 1) / 2.0F);
    std::uint8_t part[8];
    for (std::uint8_t& p : part) p = static_cast<std::uint8_t>(32 + (rng_.next() & 31));
    // The same number as scale and as offset, which centres the part. Low 6 bits of the first four, with two
    // bits of the last four above them, then those four's low bits, of scale and offset in one byte.
    for (int i = 0; i < 8; ++i) {
      put(static_cast<std::uint8_t>((part[i & 3] & 63) | ((part[4 + (i & 3)] >> 4) << 6)));
    }
    for (int i = 4; i < 8; ++i) put(static_cast<std::uint8_t>((part[i] & 15) | ((part[i] & 15) << 4)));
    bytes(quant_bytes);
  }

  void q6_k() {
    bytes(128);  // Low bits.
    bytes(64);   // High bits.
    for (int i = 0; i < 16; ++i) {
      const std::uint64_t random = rng_.next();
      const int magnitude = 64 + static_cast<int>(random & 63);
      put(static_cast<std::int8_t>((random >> 32) & 1 ? magnitude : -magnitude));
    }
    put_half(scale(64) / 96.0F);
  }

 private:
  template <class T>
  void put(T value) {
    std::memcpy(at_, &value, sizeof value);
    at_ += sizeof value;
  }
  void put_half(float value) { put(kernels::float_to_half(value)); }
  void bytes(std::size_t count) {
    std::size_t i = 0;
    for (; i + 8 <= count; i += 8) put(rng_.next());
    for (std::uint64_t rest = rng_.next(); i < count; ++i, rest >>= 8) put(static_cast<std::uint8_t>(rest));
  }
  float number() { return rng_.signed_unit() * deviation_ * 1.7320508F; }
  // What one quant step stands for, a little different in each block.
  float scale(int levels) { return deviation_ / spread(levels) * (1.0F + 0.25F * rng_.signed_unit()); }
  float either_sign(float value) { return (rng_.next() >> 63) != 0 ? -value : value; }

  FastRng rng_;
  float deviation_;
  std::byte* at_;
  std::byte* end_;
};

template <class Block>
void each_block(Filler& filler, const Block& block) {
  while (!filler.done()) block();
}

}  // namespace

FastRng::FastRng(std::uint64_t seed) {
  for (std::uint64_t& word : state_) {
    seed += 0x9E3779B97F4A7C15U;
    std::uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    word = z ^ (z >> 31);
  }
}

std::uint64_t FastRng::next() {
  const std::uint64_t result = rotated(state_[0] + state_[3], 23) + state_[0];
  const std::uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = rotated(state_[3], 45);
  return result;
}

Status can_fill(GgmlType type) {
  switch (type) {
    case GgmlType::kF32:
    case GgmlType::kF16:
    case GgmlType::kBF16:
    case GgmlType::kQ8_0:
    case GgmlType::kQ4_0:
    case GgmlType::kQ4_1:
    case GgmlType::kQ5_0:
    case GgmlType::kQ5_1:
    case GgmlType::kQ2_K:
    case GgmlType::kQ3_K:
    case GgmlType::kQ4_K:
    case GgmlType::kQ5_K:
    case GgmlType::kQ6_K:
      return {};
    default:
      return fail(ErrorCode::kInvalid,
                  "random weights of type " + std::string(ggml_type_name(type)) + " can't be made");
  }
}

void fill_random(GgmlType type, float deviation, std::uint64_t seed, std::span<std::byte> to) {
  SLUICE_CHECK(to.size() % ggml_type_traits(type).bytes == 0);
  Filler filler(seed, deviation, to);
  switch (type) {
    case GgmlType::kF32:
      return each_block(filler, [&] { filler.f32(); });
    case GgmlType::kF16:
      return each_block(filler, [&] { filler.f16(); });
    case GgmlType::kBF16:
      return each_block(filler, [&] { filler.bf16(); });
    case GgmlType::kQ8_0:
      return each_block(filler, [&] { filler.q8_0(); });
    case GgmlType::kQ4_0:
      return each_block(filler, [&] { filler.scaled(16, 16); });
    case GgmlType::kQ4_1:
      return each_block(filler, [&] { filler.offset(16, 16); });
    case GgmlType::kQ5_0:
      return each_block(filler, [&] { filler.scaled(32, 20); });
    case GgmlType::kQ5_1:
      return each_block(filler, [&] { filler.offset(32, 20); });
    case GgmlType::kQ2_K:
      return each_block(filler, [&] { filler.q2_k(); });
    case GgmlType::kQ3_K:
      return each_block(filler, [&] { filler.q3_k(); });
    case GgmlType::kQ4_K:
      return each_block(filler, [&] { filler.k_with_offsets(16, 128); });
    case GgmlType::kQ5_K:
      return each_block(filler, [&] { filler.k_with_offsets(32, 160); });
    case GgmlType::kQ6_K:
      return each_block(filler, [&] { filler.q6_k(); });
    default:
      SLUICE_CHECK(false);
  }
}

}  // namespace sluice::bench
