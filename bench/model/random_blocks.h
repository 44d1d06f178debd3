// Random weights, written in the blocks of a file format right away: no quantizer runs, so that a file of
// gigabytes takes seconds. The numbers are evenly distributed around zero and about as large as asked for;
// what they say is nonsense, how long computing with them takes is not.
//
// Layouts: as the GGUF format defines them (a block's scales in half precision, its quants packed in 2 to 8
// bits). Pure: the same seed gives the same bytes. Safe for concurrent use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/result.h"
#include "common/text/ggml_type.h"

namespace sluice::bench {

// A small fast generator (xoshiro256++ by Blackman and Vigna, seeded through splitmix64).
class FastRng {
 public:
  explicit FastRng(std::uint64_t seed);
  std::uint64_t next();
  // Evenly distributed in [-1, 1).
  float signed_unit() { return static_cast<float>(static_cast<std::int64_t>(next()) >> 40) * 0x1p-23F; }

 private:
  std::uint64_t state_[4];
};

// kInvalid: no blocks of this type can be made here.
Status can_fill(GgmlType type);

// Fills whole blocks of a type that can_fill() accepts: numbers of mean 0 and standard deviation about
// `deviation`.
void fill_random(GgmlType type, float deviation, std::uint64_t seed, std::span<std::byte> to);

}  // namespace sluice::bench
