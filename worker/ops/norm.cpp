#include "worker/ops/norm.h"

#include <cmath>

namespace sluice::ops {

void rms_norm(const Context& context, const float* x, std::size_t tokens, std::size_t cols,
              const float* weight, float epsilon, float* y) {
  for (std::size_t t = 0; t < tokens; ++t, x += cols, y += cols) {
    const float mean = context.kernels.dot(x, x, cols) / static_cast<float>(cols);
    const float scale = 1.0F / std::sqrt(mean + epsilon);
    for (std::size_t i = 0; i < cols; ++i) y[i] = x[i] * scale * weight[i];
  }
}

}  // namespace sluice::ops
