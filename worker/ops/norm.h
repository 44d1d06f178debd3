// Root-mean-square normalisation. Pure: safe for concurrent use.
#pragma once

#include <cstddef>

#include "worker/ops/context.h"

namespace sluice::ops {

// y[t] = x[t] / sqrt(mean(x[t]²) + epsilon) · weight, for `tokens` rows of `cols`. y may be x.
void rms_norm(const Context& context, const float* x, std::size_t tokens, std::size_t cols,
              const float* weight, float epsilon, float* y);

}  // namespace sluice::ops
