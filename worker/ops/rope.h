// Rotary position embedding: pairs of a head's numbers turn by an angle that grows with the position.
// Immutable after construction: safe for concurrent use.
#pragma once

#include <cstddef>
#include <vector>

namespace sluice::ops {

enum class RopeStyle {
  kHalves,  // Number i turns with number i + dims/2 (qwen2).
  kPairs,   // Number 2i turns with number 2i + 1 (llama, as its GGUF files order the rows).
};

struct RopeConfig {
  RopeStyle style = RopeStyle::kHalves;
  std::size_t dims = 0;  // How many numbers of each head turn: even, the first ones.
  double base = 10000.0;
  double position_scale = 1.0;            // Linear scaling: angles of position × this.
  std::vector<float> frequency_divisors;  // dims/2 of them, or none. Llama 3's long-context factors.
};

class Rope {
 public:
  explicit Rope(const RopeConfig& config);

  // Floats that angles() writes for one position.
  std::size_t angle_floats() const { return 2 * frequencies_.size(); }
  void angles(std::size_t position, float* to) const;
  // Turns `heads` heads of `head_dim` numbers each, lying without gaps, in place.
  void rotate(const float* angles, float* x, std::size_t heads, std::size_t head_dim) const;

 private:
  RopeStyle style_;
  std::vector<double> frequencies_;  // Radians a position.
};

}  // namespace sluice::ops
