#include "worker/model/model.h"

#include <utility>

#include "worker/model/transformer.h"
#include "worker/model/weights.h"

namespace sluice::model {

Result<std::unique_ptr<Model>> load_model(const GgufFile& file, const ops::Context& context) {
  SLUICE_ASSIGN(ModelShape shape, read_shape(file));
  SLUICE_ASSIGN(Weights weights, read_weights(file, shape, context));
  return std::make_unique<Transformer>(std::move(shape), std::move(weights), context);
}

}  // namespace sluice::model
