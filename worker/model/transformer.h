// The dense transformer of qwen2, qwen3 and llama: RMS norm, attention with rotary embedding and grouped
// queries (qwen3: with a norm of each head's query and key), gated feed-forward. Thread safety and ownership
// as in model.h.
#pragma once

#include <initializer_list>
#include <vector>

#include "worker/model/model.h"
#include "worker/model/weights.h"
#include "worker/ops/attention.h"

namespace sluice::model {

class Transformer final : public Model {
 public:
  Transformer(ModelShape shape, Weights weights, const ops::Context& context);

  const ModelShape& shape() const override { return shape_; }
  ops::KvShape kv_shape() const override {
    return {.layers = shape_.layers, .kv_heads = shape_.kv_heads, .head_dim = shape_.head_dim};
  }
  std::span<float> forward(ops::KvCache& cache, std::span<const StepToken> tokens) override;
  void observe(ActivationObserver* observer) override { observer_ = observer; }

 private:
  void show(std::size_t layer, std::initializer_list<const char*> matrices) const;
  void embed(std::span<const StepToken> tokens);
  void attend(ops::KvCache& cache, std::size_t layer, std::span<const StepToken> tokens);
  void plan_attention(std::span<const StepToken> tokens);
  void keys_and_values(ops::KvCache& cache, std::size_t layer, std::span<const StepToken> tokens);
  void keep_only_those_with_logits(std::span<const StepToken> tokens);
  void feed_forward(std::size_t index, std::size_t tokens);
  void turn_heads(std::size_t t, std::size_t heads, const std::vector<float>& norm, float* x) const;
  void add_to_stream(const Linear& linear, std::size_t tokens);

  template <class Body>
  void for_tokens(std::size_t tokens, std::size_t numbers_each, const Body& body) const;

  const ModelShape shape_;
  const Weights weights_;
  const ops::Context context_;
  const ops::Rope rope_;

  // Working memory of one step, kept between steps; rows are tokens.
  std::vector<float> stream_;   // The residual stream: width.
  std::vector<float> normed_;   // width
  std::vector<float> angles_;   // rope angles
  std::vector<float> queries_;  // heads × head_dim
  std::vector<float> keys_, values_;
  std::vector<float> mixed_;  // Attention's output: heads × head_dim.
  std::vector<float> gate_, up_;
  std::vector<float> added_;  // What a layer's part adds to the stream: width.
  std::vector<float> logits_;
  ops::Attention attention_;
  std::vector<ops::AttentionRow> attention_rows_;
  std::vector<StepToken> last_tokens_;
  ops::Activations activations_;
  ActivationObserver* observer_ = nullptr;
};

}  // namespace sluice::model
