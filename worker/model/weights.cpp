#include "worker/model/weights.h"

#include <memory>
#include <set>
#include <string>

namespace sluice::model {
namespace {

std::string shape_text(std::size_t cols, std::size_t rows) {
  return "[" + std::to_string(cols) + (rows == 1 ? "]" : ", " + std::to_string(rows) + "]");
}

// Takes tensors out of the file one by one, and knows at the end which were never asked for.
class Tensors {
 public:
  Tensors(const GgufFile& file, const ops::Context& context) : file_(file), context_(context) {}

  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }

  // To multiply by.
  Result<ops::WeightMatrix> matrix(const std::string& name, std::size_t rows, std::size_t cols) {
    SLUICE_ASSIGN(const GgufTensor* tensor, take(name, rows, cols));
    auto matrix = ops::WeightMatrix::pack(context_, tensor->type, rows, cols, tensor->data, memory_);
    if (!matrix) return about(name, matrix.error());
    if (matrix->packed()) file_.forget(*tensor);
    return matrix;
  }

  // To read single rows of.
  Result<ops::WeightMatrix> table(const std::string& name, std::size_t rows, std::size_t cols) {
    SLUICE_ASSIGN(const GgufTensor* tensor, take(name, rows, cols));
    auto matrix = ops::WeightMatrix::prepare(tensor->type, rows, cols, tensor->data);
    if (!matrix) return about(name, matrix.error());
    if (const Status finite = matrix->check_finite(context_); !finite) return about(name, finite.error());
    if (rows > 1) file_.forget(*tensor);
    return matrix;
  }

  Result<std::vector<float>> vector(const std::string& name, std::size_t values) {
    SLUICE_ASSIGN(const ops::WeightMatrix row, table(name, 1, values));
    std::vector<float> out(values);
    row.read_row(0, out.data());
    return out;
  }

  // `prefix`.weight and, if there is one (or it is demanded), `prefix`.bias.
  Result<Linear> linear(const std::string& prefix, std::size_t rows, std::size_t cols,
                        bool bias_demanded = false) {
    Linear linear;
    SLUICE_ASSIGN(linear.weights, matrix(prefix + ".weight", rows, cols));
    if (bias_demanded || has(prefix + ".bias")) {
      SLUICE_ASSIGN(linear.bias, vector(prefix + ".bias", rows));
    }
    return linear;
  }

  // A tensor that nobody asked for would change the result in the program that wrote it: better refused than
  // ignored.
  Status all_used() const {
    for (const GgufTensor& tensor : file_.tensors()) {
      if (!used_.contains(tensor.name)) {
        return fail(ErrorCode::kInvalid,
                    "tensor " + std::string(tensor.name) + " is not known to this architecture");
      }
    }
    return {};
  }

 private:
  Result<const GgufTensor*> take(const std::string& name, std::size_t rows, std::size_t cols) {
    const GgufTensor* tensor = file_.find_tensor(name);
    if (tensor == nullptr) return fail(ErrorCode::kInvalid, "tensor " + name + " is missing");
    used_.insert(tensor->name);
    if (tensor->ne[0] != cols || tensor->ne[1] != rows || tensor->ne[2] != 1 || tensor->ne[3] != 1) {
      return fail(ErrorCode::kCorrupt, "tensor " + name + " has shape " +
                                           shape_text(tensor->ne[0], tensor->rows()) + ", expected " +
                                           shape_text(cols, rows));
    }
    return tensor;
  }

  static tl::unexpected<Error> about(const std::string& name, const Error& error) {
    return fail(error.code, "tensor " + name + ": " + error.message);
  }

  const GgufFile& file_;
  const ops::Context& context_;
  const std::shared_ptr<ops::PackedMemory> memory_ = std::make_shared<ops::PackedMemory>();
  std::set<std::string_view> used_;
};

Result<LayerWeights> read_layer(Tensors& tensors, const ModelShape& shape, std::size_t index) {
  const std::string prefix = "blk." + std::to_string(index) + ".";
  const std::size_t query_width = shape.heads * shape.head_dim;
  const std::size_t kv_width = shape.kv_heads * shape.head_dim;
  const bool bias = shape.architecture == "qwen2";
  const bool head_norms = shape.architecture == "qwen3";
  LayerWeights layer;
  SLUICE_ASSIGN(layer.attention_norm, tensors.vector(prefix + "attn_norm.weight", shape.width));
  SLUICE_ASSIGN(layer.query, tensors.linear(prefix + "attn_q", query_width, shape.width, bias));
  SLUICE_ASSIGN(layer.key, tensors.linear(prefix + "attn_k", kv_width, shape.width, bias));
  SLUICE_ASSIGN(layer.value, tensors.linear(prefix + "attn_v", kv_width, shape.width, bias));
  SLUICE_ASSIGN(layer.attention_out, tensors.linear(prefix + "attn_output", shape.width, query_width));
  if (head_norms) {
    SLUICE_ASSIGN(layer.query_norm, tensors.vector(prefix + "attn_q_norm.weight", shape.head_dim));
    SLUICE_ASSIGN(layer.key_norm, tensors.vector(prefix + "attn_k_norm.weight", shape.head_dim));
  }
  SLUICE_ASSIGN(layer.feed_forward_norm, tensors.vector(prefix + "ffn_norm.weight", shape.width));
  SLUICE_ASSIGN(layer.gate, tensors.linear(prefix + "ffn_gate", shape.feed_forward, shape.width));
  SLUICE_ASSIGN(layer.up, tensors.linear(prefix + "ffn_up", shape.feed_forward, shape.width));
  SLUICE_ASSIGN(layer.down, tensors.linear(prefix + "ffn_down", shape.width, shape.feed_forward));
  return layer;
}

}  // namespace

Result<Weights> read_weights(const GgufFile& file, const ModelShape& shape, const ops::Context& context) {
  Tensors tensors(file, context);
  Weights weights;
  // The embedding's rows are read one at a time, which the file is good enough for, unless it is the output
  // matrix as well.
  const bool own_out = tensors.has("output.weight");
  SLUICE_ASSIGN(weights.embedding, own_out
                                       ? tensors.table("token_embd.weight", shape.vocabulary, shape.width)
                                       : tensors.matrix("token_embd.weight", shape.vocabulary, shape.width));
  for (std::size_t layer = 0; layer < shape.layers; ++layer) {
    SLUICE_ASSIGN(LayerWeights read, read_layer(tensors, shape, layer));
    weights.layers.push_back(std::move(read));
  }
  SLUICE_ASSIGN(weights.out_norm, tensors.vector("output_norm.weight", shape.width));
  weights.out = weights.embedding;
  weights.own_output = own_out;
  if (own_out) {
    SLUICE_ASSIGN(weights.out, tensors.matrix("output.weight", shape.vocabulary, shape.width));
  }
  if (tensors.has("rope_freqs.weight")) {
    SLUICE_ASSIGN(weights.rope_divisors, tensors.vector("rope_freqs.weight", shape.rope.dims / 2));
    for (const float divisor : weights.rope_divisors) {
      if (!(divisor > 0.0F)) return fail(ErrorCode::kCorrupt, "tensor rope_freqs.weight must be positive");
    }
  }
  SLUICE_TRY(tensors.all_used());
  return weights;
}

}  // namespace sluice::model
