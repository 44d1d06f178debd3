#include "tests/unit/worker/model/random_model.h"

#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <random>

#include "common/base/check.h"
#include "worker/kernels/formats/format.h"

namespace sluice::testmodel {
namespace {

void demand(const Status& status) {
  SLUICE_CHECK(status.has_value());
}

std::vector<RandomTensor> tensors_of(const RandomModel& m) {
  const std::uint64_t head_dim = m.head_dim > 0 ? m.head_dim : m.width / m.heads;
  const std::uint64_t query_width = head_dim * m.heads;
  const std::uint64_t kv_width = head_dim * m.kv_heads;
  std::vector<RandomTensor> all;
  const auto matrix = [&](const std::string& name, std::uint64_t cols, std::uint64_t rows) {
    all.push_back({name, m.type, {cols, rows}, {}});
  };
  const auto vector = [&](const std::string& name, std::uint64_t n) {
    all.push_back({name, GgmlType::kF32, {n}, {}});
  };
  matrix("token_embd.weight", m.width, m.vocabulary);
  for (std::uint32_t layer = 0; layer < m.layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    vector(prefix + "attn_norm.weight", m.width);
    matrix(prefix + "attn_q.weight", m.width, query_width);
    matrix(prefix + "attn_k.weight", m.width, kv_width);
    matrix(prefix + "attn_v.weight", m.width, kv_width);
    matrix(prefix + "attn_output.weight", query_width, m.width);
    if (m.architecture == "qwen2") {
      vector(prefix + "attn_q.bias", query_width);
      vector(prefix + "attn_k.bias", kv_width);
      vector(prefix + "attn_v.bias", kv_width);
    }
    if (m.architecture == "qwen3") {
      vector(prefix + "attn_q_norm.weight", head_dim);
      vector(prefix + "attn_k_norm.weight", head_dim);
    }
    vector(prefix + "ffn_norm.weight", m.width);
    matrix(prefix + "ffn_gate.weight", m.width, m.feed_forward);
    matrix(prefix + "ffn_up.weight", m.width, m.feed_forward);
    matrix(prefix + "ffn_down.weight", m.feed_forward, m.width);
  }
  vector("output_norm.weight", m.width);
  if (m.own_output) matrix("output.weight", m.width, m.vocabulary);

  std::mt19937 random(m.seed);
  for (RandomTensor& tensor : all) {
    std::uint64_t n = 1;
    for (const std::uint64_t dimension : tensor.ne) n *= dimension;
    const float size = tensor.ne.size() == 1 ? 0.2F : 1.0F / std::sqrt(static_cast<float>(tensor.ne[0]));
    const float middle = tensor.name.find("norm") != std::string::npos ? 1.0F : 0.0F;
    std::normal_distribution<float> normal(middle, size);
    for (std::uint64_t i = 0; i < n; ++i) tensor.values.push_back(normal(random));
  }
  return all;
}

}  // namespace

std::vector<std::byte> encode_tensor(GgmlType type, const std::vector<float>& values) {
  std::vector<std::byte> bytes(ggml_row_bytes(type, values.size()));
  const kernels::Format* format = kernels::find_format(type);
  if (format != nullptr) format->quantize(values.data(), values.size(), nullptr, bytes.data());
  return bytes;  // Any other type: zeros.
}

std::vector<float> decode_tensor(const GgufTensor& tensor) {
  std::vector<float> values(tensor.values());
  const kernels::Format* format = kernels::find_format(tensor.type);
  SLUICE_CHECK(format != nullptr);
  format->dequantize(tensor.data, values.size(), values.data());
  return values;
}

void RandomModel::write(const std::string& path) const {
  GgufWriter writer;
  const std::string prefix = architecture + ".";
  demand(writer.set_string("general.architecture", architecture));
  demand(writer.set_string("general.name", "random"));
  demand(writer.set_u32(prefix + "context_length", context));
  demand(writer.set_u32(prefix + "embedding_length", width));
  demand(writer.set_u32(prefix + "block_count", layers));
  demand(writer.set_u32(prefix + "feed_forward_length", feed_forward));
  demand(writer.set_u32(prefix + "attention.head_count", heads));
  demand(writer.set_u32(prefix + "attention.head_count_kv", kv_heads));
  demand(writer.set_f32(prefix + "attention.layer_norm_rms_epsilon", 1e-6F));
  demand(writer.set_f32(prefix + "rope.freq_base", 10000.0F));
  if (head_dim > 0) {
    demand(writer.set_u32(prefix + "attention.key_length", head_dim));
    demand(writer.set_u32(prefix + "attention.value_length", head_dim));
  }
  if (metadata) metadata(writer);
  std::vector<RandomTensor> all = tensors_of(*this);
  if (tensors) tensors(all);
  for (const RandomTensor& tensor : all) demand(writer.add_tensor(tensor.name, tensor.type, tensor.ne));
  demand(writer.begin(path));
  for (const RandomTensor& tensor : all) demand(writer.append(encode_tensor(tensor.type, tensor.values)));
  demand(writer.finish());
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "sluice-model-XXXXXX").string();
  SLUICE_CHECK(mkdtemp(pattern.data()) != nullptr);
  folder_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

}  // namespace sluice::testmodel
