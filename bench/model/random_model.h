// Full-size models without a download: a GGUF file with the shape, the metadata and the tensor types of a
// published model, a made-up vocabulary of its size, and random weights. It computes as fast or slowly as the
// real one, and says nothing of sense.
//
// Pure functions but for the file that write_random_model() makes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/text/ggml_type.h"

namespace sluice::bench {

enum class RopeScaling { kNone, kLinear4, kLlama3 };

struct ModelPlan {
  std::string name;          // DeepSeek-R1-Distill-Qwen-1.5B
  std::string architecture;  // qwen2 | qwen3 | llama
  std::string pre_tokenizer;
  std::uint32_t layers = 0;
  std::uint32_t width = 0;
  std::uint32_t feed_forward = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t vocabulary = 0;
  std::uint32_t context_tokens = 0;
  float rope_base = 10000.0F;
  RopeScaling scaling = RopeScaling::kNone;
  bool tied = false;  // The embedding is the output matrix.
};

// The models that are known by name; small ones of each architecture (tiny-…) are for tests.
std::span<const ModelPlan> model_plans();
// In any case. kInvalid: no such model; the message lists them.
Result<ModelPlan> plan_by_name(const std::string& name);

// Which type each matrix gets. By the name of a type: that type, but Q6_K for the output matrix if that has
// more bits. Q4_K_M: the mix that `sluice-engine quantize --type Q4_K` writes. Rows that are no whole
// number of 256s get the type of blocks of 32 that quantize takes. `pure`: that one type everywhere.
struct TypeMix {
  GgmlType base = GgmlType::kF16;
  bool medium = false;  // The _M of Q4_K_M.
  bool pure = false;
};
// kInvalid: not a type, or not one that random weights can be made of.
Result<TypeMix> mix_by_name(const std::string& name, bool pure);

struct PlannedTensor {
  std::string name;
  GgmlType type = GgmlType::kF32;
  std::vector<std::uint64_t> ne;  // The length of a row first.
  float deviation = 0.0F;
  float mean = 0.0F;  // Of vectors; matrices have 0.
};
// Every tensor of the file but rope_freqs.weight, in its order. kInvalid: a row that fits no block of the
// type.
Result<std::vector<PlannedTensor>> plan_tensors(const ModelPlan& plan, const TypeMix& mix);

// Llama 3's frequency divisors (head_dim / 2 of them): 1 for fast pairs, 8 for slow ones, blended between.
std::vector<float> llama3_divisors(std::uint32_t head_dim, float rope_base);

// The same arguments give the same bytes, whatever `threads` is. Errors: as GgufWriter, and plan_tensors.
Status write_random_model(const ModelPlan& plan, const TypeMix& mix, std::uint64_t seed, unsigned threads,
                          const std::string& path);

}  // namespace sluice::bench
