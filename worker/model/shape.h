// The sizes and constants of a model, read from a file's metadata and checked before anything is built on
// them. A value; safe for concurrent use.
#pragma once

#include <cstddef>
#include <string>

#include "common/base/result.h"
#include "common/text/gguf.h"
#include "worker/ops/rope.h"

namespace sluice::model {

struct ModelShape {
  std::string architecture;  // qwen2 | qwen3 | llama
  std::size_t layers = 0;
  std::size_t width = 0;         // Numbers that stand for a token between layers.
  std::size_t feed_forward = 0;  // Width inside the feed-forward part.
  std::size_t heads = 0;
  std::size_t kv_heads = 0;  // Divides heads.
  std::size_t head_dim = 0;
  std::size_t vocabulary = 0;      // Rows of the embedding; the tokenizer may know fewer.
  std::size_t context_tokens = 0;  // What it was trained for.
  float norm_epsilon = 0.0F;
  ops::RopeConfig rope;
};

// kInvalid, naming the key or the value: an architecture, scaling or option that isn't supported, a key that
// is missing, of the wrong type or out of range. kCorrupt: numbers that contradict each other.
Result<ModelShape> read_shape(const GgufFile& file);

}  // namespace sluice::model
