#include "bench/model/random_model.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <thread>

#include "bench/model/random_blocks.h"
#include "bench/model/synthetic_vocabulary.h"
#include "common/text/gguf_writer.h"
#include "worker/engine_cli/quantize_plan.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{4} << 20;

const std::array kPlans = {
    ModelPlan{"DeepSeek-R1-Distill-Qwen-1.5B", "qwen2", "deepseek-r1-qwen", 28, 1536, 8960, 12, 2, 128,
              151936, 131072, 10000.0F},
    ModelPlan{"DeepSeek-R1-Distill-Qwen-7B", "qwen2", "deepseek-r1-qwen", 28, 3584, 18944, 28, 4, 128, 152064,
              131072, 10000.0F},
    ModelPlan{"DeepSeek-R1-Distill-Llama-8B", "llama", "llama-bpe", 32, 4096, 14336, 32, 8, 128, 128256,
              131072, 500000.0F, RopeScaling::kLlama3},
    ModelPlan{"deepseek-llm-7b", "llama", "deepseek-llm", 30, 4096, 11008, 32, 32, 128, 102400, 4096,
              10000.0F},
    ModelPlan{"deepseek-coder-1.3b", "llama", "deepseek-coder", 24, 2048, 5504, 16, 16, 128, 32256, 16384,
              100000.0F, RopeScaling::kLinear4},
    ModelPlan{"deepseek-coder-6.7b", "llama", "deepseek-coder", 32, 4096, 11008, 32, 32, 128, 32256, 16384,
              100000.0F, RopeScaling::kLinear4},
    ModelPlan{"Qwen3-0.6B", "qwen3", "qwen2", 28, 1024, 3072, 16, 8, 128, 151936, 40960, 1000000.0F,
              RopeScaling::kNone, true},
    ModelPlan{"Qwen3-1.7B", "qwen3", "qwen2", 28, 2048, 6144, 16, 8, 128, 151936, 40960, 1000000.0F,
              RopeScaling::kNone, true},
    ModelPlan{"tiny-qwen2", "qwen2", "qwen2", 3, 256, 768, 4, 2, 64, 2048, 4096, 10000.0F},
    ModelPlan{"tiny-qwen3", "qwen3", "qwen2", 3, 256, 768, 4, 2, 128, 2048, 4096, 1000000.0F,
              RopeScaling::kNone, true},
    ModelPlan{"tiny-llama", "llama", "deepseek-llm", 3, 256, 768, 4, 4, 64, 2048, 4096, 10000.0F},
    ModelPlan{"tiny-coder", "llama", "deepseek-coder", 3, 256, 768, 4, 4, 64, 2048, 4096, 100000.0F,
              RopeScaling::kLinear4},
    ModelPlan{"tiny-llama3", "llama", "llama-bpe", 3, 256, 768, 4, 2, 64, 2048, 16384, 500000.0F,
              RopeScaling::kLlama3, true},
};

bool same_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

class TensorPlanner {
 public:
  TensorPlanner(const ModelPlan& plan, const TypeMix& mix) : plan_(plan), mix_(mix) {}

  void vector(const std::string& name, std::uint64_t size, float mean, float deviation) {
    tensors_.push_back({name, GgmlType::kF32, {size}, deviation, mean});
  }

  // Weights of deviation gain / √cols take unit-size activations to outputs of size `gain`.
  void matrix(const std::string& name, std::uint64_t cols, std::uint64_t rows, float gain) {
    GgmlType type = type_of(name);
    if (!mix_.pure) type = engine_cli::type_for_rows(type, cols).value_or(type);
    if (cols % ggml_type_traits(type).values != 0 && !problem_) {
      problem_ =
          Error{ErrorCode::kInvalid, "tensor " + name + ": rows of " + std::to_string(cols) +
                                         " numbers can't be stored as " + std::string(ggml_type_name(type))};
    }
    tensors_.push_back({name, type, {cols, rows}, gain / std::sqrt(static_cast<float>(cols))});
  }

  GgmlType type_of(std::string_view name) const {
    if (mix_.pure) return mix_.base;
    const bool output = name == (plan_.tied ? "token_embd.weight" : "output.weight");
    if (!mix_.medium && !output) return mix_.base;
    return engine_cli::type_in_mix(mix_.base, name, plan_.layers, plan_.tied);
  }

  void layer(std::uint32_t number) {
    const std::string prefix = "blk." + std::to_string(number) + ".";
    const std::uint64_t query = std::uint64_t{plan_.heads} * plan_.head_dim;
    const std::uint64_t kv = std::uint64_t{plan_.kv_heads} * plan_.head_dim;
    const auto norm = [&](const char* name, std::uint64_t size) { vector(prefix + name, size, 1.0F, 0.05F); };
    norm("attn_norm.weight", plan_.width);
    matrix(prefix + "attn_q.weight", plan_.width, query, 1.0F);
    matrix(prefix + "attn_k.weight", plan_.width, kv, 1.0F);
    matrix(prefix + "attn_v.weight", plan_.width, kv, 1.0F);
    if (plan_.architecture == "qwen2") {
      vector(prefix + "attn_q.bias", query, 0.0F, 0.2F);
      vector(prefix + "attn_k.bias", kv, 0.0F, 0.2F);
      vector(prefix + "attn_v.bias", kv, 0.0F, 0.2F);
    }
    if (plan_.architecture == "qwen3") {
      norm("attn_q_norm.weight", plan_.head_dim);
      norm("attn_k_norm.weight", plan_.head_dim);
    }
    matrix(prefix + "attn_output.weight", query, plan_.width, 1.0F);
    norm("ffn_norm.weight", plan_.width);
    matrix(prefix + "ffn_gate.weight", plan_.width, plan_.feed_forward, 1.0F);
    matrix(prefix + "ffn_up.weight", plan_.width, plan_.feed_forward, 1.0F);
    matrix(prefix + "ffn_down.weight", plan_.feed_forward, plan_.width, 1.0F);
  }

  Result<std::vector<PlannedTensor>> all() && {
    const float embedding_size = std::sqrt(static_cast<float>(plan_.width));
    // Tied, rows of full size would make every token predict itself by far.
    matrix("token_embd.weight", plan_.width, plan_.vocabulary, plan_.tied ? 3.0F : embedding_size);
    for (std::uint32_t number = 0; number < plan_.layers; ++number) layer(number);
    vector("output_norm.weight", plan_.width, 1.0F, 0.05F);
    if (!plan_.tied) matrix("output.weight", plan_.width, plan_.vocabulary, 3.0F);
    if (problem_) return fail(*problem_);
    return std::move(tensors_);
  }

 private:
  const ModelPlan& plan_;
  const TypeMix& mix_;
  std::vector<PlannedTensor> tensors_;
  std::optional<Error> problem_;
};

Status write_metadata(const ModelPlan& plan, const TypeMix& mix, GgufWriter& writer) {
  SLUICE_ASSIGN(const SyntheticVocabulary vocabulary, synthetic_vocabulary(plan.vocabulary));
  const std::string prefix = plan.architecture + ".";
  SLUICE_TRY(writer.set_string("general.architecture", plan.architecture));
  SLUICE_TRY(writer.set_string("general.name", plan.name + " (random weights)"));
  SLUICE_TRY(writer.set_string("general.description",
                               "Random numbers of this shape, " + std::string(ggml_type_name(mix.base))));
  const auto number = [&](const char* key, std::uint32_t value) {
    return writer.set_u32(prefix + key, value);
  };
  SLUICE_TRY(number("block_count", plan.layers));
  SLUICE_TRY(number("context_length", plan.context_tokens));
  SLUICE_TRY(number("embedding_length", plan.width));
  SLUICE_TRY(number("feed_forward_length", plan.feed_forward));
  SLUICE_TRY(number("attention.head_count", plan.heads));
  SLUICE_TRY(number("attention.head_count_kv", plan.kv_heads));
  SLUICE_TRY(number("attention.key_length", plan.head_dim));
  SLUICE_TRY(number("attention.value_length", plan.head_dim));
  if (plan.architecture == "llama") {
    SLUICE_TRY(number("rope.dimension_count", plan.head_dim));
    SLUICE_TRY(number("vocab_size", plan.vocabulary));
  }
  SLUICE_TRY(writer.set_f32(prefix + "attention.layer_norm_rms_epsilon", 1e-6F));
  SLUICE_TRY(writer.set_f32(prefix + "rope.freq_base", plan.rope_base));
  if (plan.scaling == RopeScaling::kLinear4) {
    SLUICE_TRY(writer.set_string(prefix + "rope.scaling.type", "linear"));
    SLUICE_TRY(writer.set_f32(prefix + "rope.scaling.factor", 4.0F));
  }
  SLUICE_TRY(writer.set_string("tokenizer.ggml.model", "gpt2"));
  SLUICE_TRY(writer.set_string("tokenizer.ggml.pre", plan.pre_tokenizer));
  SLUICE_TRY(writer.set_strings("tokenizer.ggml.tokens", vocabulary.tokens));
  SLUICE_TRY(writer.set_i32s("tokenizer.ggml.token_type", vocabulary.types));
  SLUICE_TRY(writer.set_strings("tokenizer.ggml.merges", vocabulary.merges));
  SLUICE_TRY(writer.set_u32("tokenizer.ggml.bos_token_id", vocabulary.end_of_text));
  SLUICE_TRY(writer.set_u32("tokenizer.ggml.eos_token_id", vocabulary.turn_end));
  SLUICE_TRY(writer.set_u32("tokenizer.ggml.padding_token_id", vocabulary.end_of_text));
  SLUICE_TRY(writer.set_bool("tokenizer.ggml.add_bos_token", false));
  return writer.set_string("tokenizer.chat_template", vocabulary.chat_template);
}

// One seed for each piece of each tensor: threads may make them in any order.
std::uint64_t piece_seed(std::uint64_t seed, std::size_t tensor, std::size_t piece) {
  return (seed * 1'000'003 + tensor) * 1'000'003 + piece;
}

void make_piece(const PlannedTensor& tensor, std::uint64_t seed, std::span<std::byte> to) {
  fill_random(tensor.type, tensor.deviation, seed, to);
  if (tensor.mean == 0.0F) return;
  auto* numbers = reinterpret_cast<float*>(to.data());
  for (std::size_t i = 0; i < to.size() / sizeof(float); ++i) numbers[i] += tensor.mean;
}

// Makes as many pieces at once as there are threads, and writes them in order.
Status write_tensor(const PlannedTensor& tensor, std::uint64_t seed, std::size_t number, unsigned threads,
                    GgufWriter& writer) {
  std::uint64_t rows = 1;
  for (std::size_t i = 1; i < tensor.ne.size(); ++i) rows *= tensor.ne[i];
  const std::uint64_t bytes = ggml_row_bytes(tensor.type, tensor.ne[0]) * rows;
  const std::size_t block = ggml_type_traits(tensor.type).bytes;
  const std::size_t piece_bytes = kPieceBytes / block * block;
  std::vector<std::byte> buffer(
      static_cast<std::size_t>(std::min<std::uint64_t>(bytes, threads * piece_bytes)));
  for (std::uint64_t begin = 0; begin < bytes; begin += buffer.size()) {
    const auto now = std::span(buffer).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), bytes - begin)));
    const std::size_t pieces = (now.size() + piece_bytes - 1) / piece_bytes;
    const auto make = [&](std::size_t i) {
      const auto to = now.subspan(i * piece_bytes, std::min(piece_bytes, now.size() - i * piece_bytes));
      make_piece(tensor, piece_seed(seed, number, static_cast<std::size_t>(begin / piece_bytes) + i), to);
    };
    {
      std::vector<std::jthread> others;
      for (std::size_t i = 1; i < pieces; ++i) others.emplace_back(make, i);
      make(0);
    }
    SLUICE_TRY(writer.append(now));
  }
  return {};
}

}  // namespace

std::span<const ModelPlan> model_plans() {
  return kPlans;
}

Result<ModelPlan> plan_by_name(const std::string& name) {
  std::string known;
  for (const ModelPlan& plan : kPlans) {
    if (same_ignoring_case(plan.name, name)) return plan;
    known += " " + plan.name;
  }
  return fail(ErrorCode::kInvalid, "no shape is called '" + name + "' (known:" + known + ")");
}

Result<TypeMix> mix_by_name(const std::string& name, bool pure) {
  TypeMix mix;
  mix.pure = pure;
  mix.medium = same_ignoring_case(name, "Q4_K_M");
  const auto type = mix.medium ? GgmlType::kQ4_K : ggml_type_by_name(name);
  if (!type) return fail(ErrorCode::kInvalid, "'" + name + "' is neither a tensor type nor Q4_K_M");
  SLUICE_TRY(can_fill(*type));
  mix.base = *type;
  return mix;
}

Result<std::vector<PlannedTensor>> plan_tensors(const ModelPlan& plan, const TypeMix& mix) {
  return TensorPlanner(plan, mix).all();
}

// Constants: Llama 3.1's published rope_scaling (factor 8, low 1, high 4, trained on 8192 tokens).
std::vector<float> llama3_divisors(std::uint32_t head_dim, float rope_base) {
  constexpr double kFactor = 8.0, kLow = 1.0, kHigh = 4.0, kTrained = 8192.0, kTwoPi = 6.283185307179586;
  std::vector<float> divisors;
  for (std::uint32_t i = 0; i < head_dim / 2; ++i) {
    const double turns = kTrained * std::pow(static_cast<double>(rope_base), -2.0 * i / head_dim) / kTwoPi;
    const double blend = std::clamp((turns - kLow) / (kHigh - kLow), 0.0, 1.0);
    divisors.push_back(static_cast<float>(1.0 / ((1.0 - blend) / kFactor + blend)));
  }
  return divisors;
}

Status write_random_model(const ModelPlan& plan, const TypeMix& mix, std::uint64_t seed, unsigned threads,
                          const std::string& path) {
  SLUICE_ASSIGN(const std::vector<PlannedTensor> tensors, plan_tensors(plan, mix));
  GgufWriter writer;
  SLUICE_TRY(write_metadata(plan, mix, writer));
  std::vector<float> divisors;
  if (plan.scaling == RopeScaling::kLlama3) {
    divisors = llama3_divisors(plan.head_dim, plan.rope_base);
    const std::uint64_t ne[] = {divisors.size()};
    SLUICE_TRY(writer.add_tensor("rope_freqs.weight", GgmlType::kF32, ne));
  }
  for (const PlannedTensor& tensor : tensors) {
    SLUICE_TRY(writer.add_tensor(tensor.name, tensor.type, tensor.ne));
  }
  SLUICE_TRY(writer.begin(path));
  SLUICE_TRY(writer.append(std::as_bytes(std::span(divisors))));
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    SLUICE_TRY(write_tensor(tensors[i], seed, i, std::max(threads, 1U), writer));
  }
  return writer.finish();
}

}  // namespace sluice::bench
