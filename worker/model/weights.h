// The tensors of a dense transformer, each checked for name, shape, type and finite numbers.
#pragma once

#include <vector>

#include "common/base/result.h"
#include "common/text/gguf.h"
#include "worker/model/shape.h"
#include "worker/ops/context.h"
#include "worker/ops/matmul.h"

namespace sluice::model {

// A product and the vector added to it; no bias: empty.
struct Linear {
  ops::WeightMatrix weights;
  std::vector<float> bias;
};

struct LayerWeights {
  std::vector<float> attention_norm;
  Linear query, key, value, attention_out;
  std::vector<float> query_norm, key_norm;  // For each head alike (qwen3); empty: none.
  std::vector<float> feed_forward_norm;
  Linear gate, up, down;
};

// Immutable. Matrices of single numbers, and an embedding beside an output matrix, borrow the file's memory;
// the others are packed copies, and the file's pages are given back.
struct Weights {
  ops::WeightMatrix embedding;
  std::vector<LayerWeights> layers;
  std::vector<float> out_norm;
  ops::WeightMatrix out;             // The embedding itself where the file has no other.
  bool own_output = false;           // Whether the file has another.
  std::vector<float> rope_divisors;  // Empty: none.
};

// kInvalid, naming the tensor: missing, unknown to the architecture, or of a type that isn't supported.
// kCorrupt, naming the tensor: another shape than the metadata says, or numbers that aren't finite.
Result<Weights> read_weights(const GgufFile& file, const ModelShape& shape, const ops::Context& context);

}  // namespace sluice::model
