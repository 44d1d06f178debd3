// Numbers to compute with.
#pragma once

#include <cstddef>
#include <random>
#include <vector>

namespace sluice::kernels {

// `n` numbers of mean 0 and deviation 1, the same for the same seed.
inline std::vector<float> normals(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, 1.0F);
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

}  // namespace sluice::kernels
