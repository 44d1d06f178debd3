// What this machine and this model allow at the most: the speeds that the CPU reaches when it does nothing
// else, and what a step of the model has to read and compute. Together they bound tokens per second.
#pragma once

#include <cstdint>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "worker/engine/loaded_model.h"

namespace sluice::engine_cli {

struct Ceilings {
  double read_bytes_per_s = 0.0;  // Memory, by all threads together.
  double int8_ops_per_s = 0.0;    // Products of bytes by the instructions of the kernels in use; multiplying
                                  // and adding count as two.
  double int4_ops_per_s = 0.0;    // The same for weights of 4 bits.
  double float_ops_per_s = 0.0;   // Fused multiply-adds in single precision.
};
// Takes about a second, and 256 MiB of memory for as long.
Ceilings measure_ceilings(const ops::Context& context, Clock& clock);

// From the file's matrices.
struct StepCosts {
  std::uint64_t weight_bytes = 0;  // Read by every step that gives logits.
  double prompt_token_ops = 0.0;   // Without the output matrix.
  double answer_token_ops = 0.0;   // With it.
};
StepCosts step_costs(const GgufFile& file);

// Operations a second of a product alone: the largest matrix of the model's first layer, packed anew, by
// `tokens` tokens. 0: there is no such matrix.
Result<double> measure_product(const LoadedModel& model, std::size_t tokens, Clock& clock);

// Bytes of this process that are in memory now. 0: the system doesn't say.
std::uint64_t resident_bytes();

}  // namespace sluice::engine_cli
