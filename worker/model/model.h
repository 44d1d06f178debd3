// A model as the engine runs it: tokens of several sequences in, logits out. Architectures that compute
// otherwise (other attention, experts) are further implementations behind the same interface.
//
// A Model belongs to one thread at a time; the pool inside `context` does the sharing out. It borrows the
// file that it was loaded from and the context: both must outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "common/base/result.h"
#include "common/text/gguf.h"
#include "worker/model/shape.h"
#include "worker/ops/context.h"
#include "worker/ops/kv_cache.h"

namespace sluice::model {

// One token of a step. Tokens of one sequence stand in the order of their positions, and all positions before
// the first of them were computed in this step or an earlier one.
struct StepToken {
  std::int32_t id = 0;       // Below shape().vocabulary.
  std::size_t position = 0;  // Below pages->tokens().
  const ops::KvPages* pages = nullptr;
  bool wants_logits = false;
};

// Is shown what each matrix is multiplied with.
class ActivationObserver {
 public:
  virtual ~ActivationObserver() = default;
  // `tokens` rows of `cols` numbers, on their way into the product with the tensor of this name.
  virtual void saw(std::string_view tensor, const float* rows, std::size_t tokens, std::size_t cols) = 0;
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelShape& shape() const = 0;
  virtual ops::KvShape kv_shape() const = 0;

  // Computes the tokens and stores their keys and values. Returns a row of shape().vocabulary logits for each
  // token that wants them, in order; valid until the next call. A sequence's logits are the same bits
  // whatever else is in the step, and however its tokens are spread over steps.
  virtual std::span<float> forward(ops::KvCache& cache, std::span<const StepToken> tokens) = 0;

  // From now on forward() shows `observer` all inputs of matrices, on the calling thread; nullptr: nobody. It
  // must stay until then.
  virtual void observe(ActivationObserver* observer) = 0;
};

// kInvalid: not supported, or a tensor or key is missing (named). kCorrupt: the file contradicts itself.
Result<std::unique_ptr<Model>> load_model(const GgufFile& file, const ops::Context& context);

}  // namespace sluice::model
