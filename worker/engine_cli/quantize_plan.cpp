#include "worker/engine_cli/quantize_plan.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>

namespace sluice::engine_cli {
namespace {

bool is_float(GgmlType type) {
  return type == GgmlType::kF32 || type == GgmlType::kF16 || type == GgmlType::kBF16;
}

double bits_of(GgmlType type) {
  const GgmlTypeTraits& traits = ggml_type_traits(type);
  return 8.0 * traits.bytes / traits.values;
}

// general.file_type has names of its own; where it tells mixes apart, ours is the middle one.
std::uint32_t file_type_of(GgmlType type, bool pure) {
  switch (type) {
    case GgmlType::kF32:
      return 0;
    case GgmlType::kF16:
      return 1;
    case GgmlType::kQ4_0:
      return 2;
    case GgmlType::kQ4_1:
      return 3;
    case GgmlType::kQ5_0:
      return 8;
    case GgmlType::kQ5_1:
      return 9;
    case GgmlType::kQ2_K:
      return 10;
    case GgmlType::kQ3_K:
      return pure ? 11 : 12;
    case GgmlType::kQ4_K:
      return pure ? 14 : 15;
    case GgmlType::kQ5_K:
      return pure ? 16 : 17;
    case GgmlType::kQ6_K:
      return 18;
    case GgmlType::kBF16:
      return 32;
    default:
      return 7;  // Q8_0
  }
}

// N of "blk.N.…".
std::optional<std::uint32_t> layer_of(std::string_view name) {
  if (!name.starts_with("blk.")) return std::nullopt;
  std::uint32_t layer = 0;
  const auto [end, error] = std::from_chars(name.data() + 4, name.data() + name.size(), layer);
  if (error != std::errc() || end == name.data() + name.size() || *end != '.') return std::nullopt;
  return layer;
}

bool is_sensitive(std::uint32_t layer, std::uint32_t layers) {
  const std::uint32_t eighth = layers / 8;
  return layer < eighth || layer >= layers - eighth || (layer - eighth) % 3 == 2;
}

struct Mix {
  GgmlType values;            // attn_v
  GgmlType down;              // ffn_down of most layers,
  GgmlType down_sensitive;    // and of the sensitive ones.
  GgmlType values_sensitive;  // attn_v of the sensitive layers.
};

std::optional<Mix> mix_of(GgmlType type) {
  switch (type) {
    case GgmlType::kQ2_K:
      return Mix{GgmlType::kQ4_K, GgmlType::kQ3_K, GgmlType::kQ4_K, GgmlType::kQ4_K};
    case GgmlType::kQ3_K:
      return Mix{GgmlType::kQ5_K, GgmlType::kQ4_K, GgmlType::kQ5_K, GgmlType::kQ5_K};
    case GgmlType::kQ4_K:
      return Mix{GgmlType::kQ5_K, GgmlType::kQ4_K, GgmlType::kQ6_K, GgmlType::kQ6_K};
    case GgmlType::kQ5_K:
      return Mix{GgmlType::kQ6_K, GgmlType::kQ5_K, GgmlType::kQ6_K, GgmlType::kQ6_K};
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<GgmlType> type_for_rows(GgmlType wanted, std::uint64_t cols) {
  const auto fits = [&](GgmlType type) { return cols % ggml_type_traits(type).values == 0; };
  if (fits(wanted)) return wanted;
  GgmlType smaller = wanted;
  switch (wanted) {
    case GgmlType::kQ2_K:
    case GgmlType::kQ3_K:
      smaller = GgmlType::kQ4_0;
      break;
    case GgmlType::kQ4_K:
      smaller = GgmlType::kQ5_0;
      break;
    case GgmlType::kQ5_K:
      smaller = GgmlType::kQ5_1;
      break;
    case GgmlType::kQ6_K:
      smaller = GgmlType::kQ8_0;
      break;
    default:
      break;
  }
  return fits(smaller) ? std::optional<GgmlType>(smaller) : std::nullopt;
}

GgmlType type_in_mix(GgmlType type, std::string_view tensor, std::uint32_t layers, bool tied) {
  const bool is_output = tensor == (tied ? "token_embd.weight" : "output.weight");
  if (is_output) return bits_of(type) < bits_of(GgmlType::kQ6_K) ? GgmlType::kQ6_K : type;
  const std::optional<Mix> mix = mix_of(type);
  if (!mix) return type;
  const auto layer = layer_of(tensor);
  const bool sensitive = layer && is_sensitive(*layer, layers);
  if (tensor.ends_with(".attn_v.weight")) return sensitive ? mix->values_sensitive : mix->values;
  if (tensor.ends_with(".ffn_down.weight")) return sensitive ? mix->down_sensitive : mix->down;
  return type;
}

Result<Plan> plan_types(const GgufFile& file, const PlanOptions& options) {
  Plan plan;
  plan.file_type = file_type_of(options.type, options.pure);
  const bool tied = file.find_tensor("output.weight") == nullptr;
  std::uint32_t layers = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    if (const auto layer = layer_of(tensor.name)) layers = std::max(layers, *layer + 1);
  }
  for (const GgufTensor& tensor : file.tensors()) {
    const bool matrix = tensor.dims == 2 && tensor.ne[1] > 1;
    if (!matrix || (!is_float(tensor.type) && ggml_type_traits(tensor.type).values == 1)) {
      plan.types.push_back(tensor.type);
      continue;
    }
    if (!is_float(tensor.type) && !options.requantize) {
      return fail(ErrorCode::kInvalid,
                  "tensor " + std::string(tensor.name) + " is " + std::string(ggml_type_name(tensor.type)) +
                      " already; quantising twice loses more than quantising the original "
                      "(--requantize does it all the same)");
    }
    const GgmlType wanted =
        options.pure ? options.type : type_in_mix(options.type, tensor.name, layers, tied);
    plan.types.push_back(type_for_rows(wanted, tensor.ne[0]).value_or(tensor.type));
  }
  return plan;
}

}  // namespace sluice::engine_cli
