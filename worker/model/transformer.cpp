#include "worker/model/transformer.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"
#include "worker/ops/norm.h"

namespace sluice::model {
namespace {

// Elementwise work below this many numbers is done by the calling thread alone.
constexpr std::size_t kNumbersInline = 4 * 1024;
// Turning a key and putting it beside those of other tokens takes as long as so many numbers elsewhere.
constexpr std::size_t kNumbersOfAKey = 8;

void grow(std::vector<float>& buffer, std::size_t size) {
  if (buffer.size() < size) buffer.resize(size);
}

void add(const std::vector<float>& bias, float* to) {
  for (std::size_t i = 0; i < bias.size(); ++i) to[i] += bias[i];
}

ops::Rope make_rope(const ModelShape& shape, const Weights& weights) {
  ops::RopeConfig config = shape.rope;
  config.frequency_divisors = weights.rope_divisors;
  return ops::Rope(config);
}

}  // namespace

Transformer::Transformer(ModelShape shape, Weights weights, const ops::Context& context)
    : shape_(std::move(shape)),
      weights_(std::move(weights)),
      context_(context),
      rope_(make_rope(shape_, weights_)) {}

// Calls body(t) for each token, over the pool where `numbers_each` numbers a token are enough work.
template <class Body>
void Transformer::for_tokens(std::size_t tokens, std::size_t numbers_each, const Body& body) const {
  const bool small = tokens * numbers_each <= kNumbersInline;
  const std::size_t grain = small ? tokens : context_.pool.grain_for(tokens, 1);
  context_.pool.parallel_for(tokens, grain, [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t t = begin; t < end; ++t) body(t);
  });
}

void Transformer::embed(std::span<const StepToken> tokens) {
  grow(stream_, tokens.size() * shape_.width);
  grow(angles_, tokens.size() * rope_.angle_floats());
  for_tokens(tokens.size(), shape_.width, [&](std::size_t t) {
    SLUICE_CHECK(tokens[t].id >= 0 && static_cast<std::size_t>(tokens[t].id) < shape_.vocabulary);
    weights_.embedding.read_row(static_cast<std::size_t>(tokens[t].id), &stream_[t * shape_.width]);
    rope_.angles(tokens[t].position, &angles_[t * rope_.angle_floats()]);
  });
}

// Norm, where the model has one for heads, then the rotary embedding of token t, in place.
void Transformer::turn_heads(std::size_t t, std::size_t heads, const std::vector<float>& norm,
                             float* x) const {
  if (!norm.empty()) ops::rms_norm(context_, x, heads, shape_.head_dim, norm.data(), shape_.norm_epsilon, x);
  rope_.rotate(&angles_[t * rope_.angle_floats()], x, heads, shape_.head_dim);
}

// From normed_: stores the tokens' keys and values in the cache.
void Transformer::keys_and_values(ops::KvCache& cache, std::size_t layer, std::span<const StepToken> tokens) {
  const LayerWeights& weights = weights_.layers[layer];
  const std::size_t width = shape_.kv_heads * shape_.head_dim;
  for_tokens(tokens.size(), kNumbersOfAKey * width, [&](std::size_t t) {
    float* keys = &keys_[t * width];
    float* values = &values_[t * width];
    add(weights.key.bias, keys);
    add(weights.value.bias, values);
    turn_heads(t, shape_.kv_heads, weights.key_norm, keys);
    cache.store(context_.kernels, *tokens[t].pages, layer, tokens[t].position, keys, values);
  });
}

// From queries_: attention over the cache, added to the stream.
void Transformer::attend(ops::KvCache& cache, std::size_t layer, std::span<const StepToken> tokens) {
  const LayerWeights& weights = weights_.layers[layer];
  const std::size_t width = shape_.heads * shape_.head_dim;
  grow(mixed_, tokens.size() * width);
  for_tokens(tokens.size(), width, [&](std::size_t t) {
    add(weights.query.bias, &queries_[t * width]);
    turn_heads(t, shape_.heads, weights.query_norm, &queries_[t * width]);
  });
  const float scale = 1.0F / std::sqrt(static_cast<float>(shape_.head_dim));
  attention_.run(context_, cache, layer, shape_.heads, scale, queries_.data(), mixed_.data());
  activations_.set(mixed_.data(), tokens.size(), width);
  show(layer, {"attn_output"});
  add_to_stream(weights.attention_out, tokens.size());
}

void Transformer::plan_attention(std::span<const StepToken> tokens) {
  attention_rows_.clear();
  for (const StepToken& token : tokens) attention_rows_.push_back({token.pages, token.position});
  attention_.plan(attention_rows_);
}

// Tells the observer what the layer's matrices are about to be multiplied with.
void Transformer::show(std::size_t layer, std::initializer_list<const char*> matrices) const {
  if (observer_ == nullptr) return;
  for (const char* matrix : matrices) {
    const std::string name = "blk." + std::to_string(layer) + "." + matrix + ".weight";
    observer_->saw(name, activations_.x(), activations_.tokens(), activations_.cols());
  }
}

void Transformer::add_to_stream(const Linear& linear, std::size_t tokens) {
  grow(added_, tokens * shape_.width);
  const ops::Product product{&linear.weights, added_.data(), shape_.width};
  ops::matmul(context_, activations_, {&product, 1});
  for_tokens(tokens, shape_.width, [&](std::size_t t) {
    float* stream = &stream_[t * shape_.width];
    const float* added = &added_[t * shape_.width];
    for (std::size_t i = 0; i < shape_.width; ++i) stream[i] += added[i];
    add(linear.bias, stream);
  });
}

void Transformer::feed_forward(std::size_t index, std::size_t tokens) {
  const LayerWeights& layer = weights_.layers[index];
  const std::size_t width = shape_.feed_forward;
  grow(gate_, tokens * width);
  grow(up_, tokens * width);
  for_tokens(tokens, shape_.width, [&](std::size_t t) {
    ops::rms_norm(context_, &stream_[t * shape_.width], 1, shape_.width, layer.feed_forward_norm.data(),
                  shape_.norm_epsilon, &normed_[t * shape_.width]);
  });
  activations_.set(normed_.data(), tokens, shape_.width);
  show(index, {"ffn_gate", "ffn_up"});
  const ops::Product products[] = {{&layer.gate.weights, gate_.data(), width},
                                   {&layer.up.weights, up_.data(), width}};
  ops::matmul(context_, activations_, products);
  for_tokens(tokens, width, [&](std::size_t t) {
    add(layer.gate.bias, &gate_[t * width]);
    add(layer.up.bias, &up_[t * width]);
    context_.kernels.silu_multiply(&gate_[t * width], &up_[t * width], width);
  });
  activations_.set(gate_.data(), tokens, width);
  show(index, {"ffn_down"});
  add_to_stream(layer.down, tokens);
}

// After the last layer's keys and values, tokens whose logits nobody wants have nothing left to contribute.
void Transformer::keep_only_those_with_logits(std::span<const StepToken> tokens) {
  last_tokens_.clear();
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    if (!tokens[t].wants_logits) continue;
    const std::size_t to = last_tokens_.size();
    const auto move_row = [&](std::vector<float>& rows, std::size_t width) {
      if (to != t) std::copy_n(&rows[t * width], width, &rows[to * width]);
    };
    move_row(stream_, shape_.width);
    move_row(normed_, shape_.width);
    move_row(angles_, rope_.angle_floats());
    last_tokens_.push_back(tokens[t]);
  }
}

std::span<float> Transformer::forward(ops::KvCache& cache, std::span<const StepToken> tokens) {
  if (tokens.empty()) return {};
  const std::size_t query_width = shape_.heads * shape_.head_dim;
  const std::size_t kv_width = shape_.kv_heads * shape_.head_dim;
  grow(normed_, tokens.size() * shape_.width);
  grow(queries_, tokens.size() * query_width);
  grow(keys_, tokens.size() * kv_width);
  grow(values_, tokens.size() * kv_width);
  embed(tokens);
  plan_attention(tokens);
  for (std::size_t layer = 0; layer < shape_.layers; ++layer) {
    const LayerWeights& weights = weights_.layers[layer];
    for_tokens(tokens.size(), shape_.width, [&](std::size_t t) {
      ops::rms_norm(context_, &stream_[t * shape_.width], 1, shape_.width, weights.attention_norm.data(),
                    shape_.norm_epsilon, &normed_[t * shape_.width]);
    });
    activations_.set(normed_.data(), tokens.size(), shape_.width);
    const ops::Product products[] = {{&weights.key.weights, keys_.data(), kv_width},
                                     {&weights.value.weights, values_.data(), kv_width},
                                     {&weights.query.weights, queries_.data(), query_width}};
    show(layer, {"attn_q", "attn_k", "attn_v"});
    const bool last = layer + 1 == shape_.layers;
    ops::matmul(context_, activations_, std::span(products).first(last ? 2 : 3));
    keys_and_values(cache, layer, tokens);
    if (last) {
      keep_only_those_with_logits(tokens);
      tokens = last_tokens_;
      if (tokens.empty()) return {};
      plan_attention(tokens);
      activations_.set(normed_.data(), tokens.size(), shape_.width);
      ops::matmul(context_, activations_, std::span(products).last(1));
    }
    attend(cache, layer, tokens);
    feed_forward(layer, tokens.size());
  }
  ops::rms_norm(context_, stream_.data(), tokens.size(), shape_.width, weights_.out_norm.data(),
                shape_.norm_epsilon, normed_.data());
  grow(logits_, tokens.size() * shape_.vocabulary);
  activations_.set(normed_.data(), tokens.size(), shape_.width);
  if (observer_ != nullptr) {
    observer_->saw(weights_.own_output ? "output.weight" : "token_embd.weight", normed_.data(), tokens.size(),
                   shape_.width);
  }
  const ops::Product product{&weights_.out, logits_.data(), shape_.vocabulary};
  ops::matmul(context_, activations_, {&product, 1});
  return {logits_.data(), tokens.size() * shape_.vocabulary};
}

}  // namespace sluice::model
