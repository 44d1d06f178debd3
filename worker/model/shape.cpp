#include "worker/model/shape.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include "common/text/model_file.h"

namespace sluice::model {
namespace {

// Far beyond any model; they keep products of two of these numbers inside 64 bits.
constexpr std::uint32_t kLayersMax = 4096;
constexpr std::uint32_t kHeadsMax = 65536;
constexpr std::uint32_t kHeadDimMax = 4096;
constexpr std::uint32_t kWidthMax = 1U << 24;
constexpr std::uint32_t kContextMax = 1U << 30;

// Reads keys that begin with the architecture's name.
class Keys {
 public:
  Keys(const GgufFile& file, std::string_view prefix) : file_(file), prefix_(prefix) {}

  std::string name(std::string_view key) const { return prefix_ + "." + std::string(key); }
  bool has(std::string_view key) const { return file_.has(name(key)); }

  Result<std::size_t> size(std::string_view key, std::uint32_t most) const {
    SLUICE_ASSIGN(const std::uint32_t value, as_invalid(file_.u32(name(key))));
    if (value == 0 || value > most) {
      return fail(ErrorCode::kInvalid,
                  name(key) + " is " + std::to_string(value) + ", expected 1 to " + std::to_string(most));
    }
    return static_cast<std::size_t>(value);
  }
  Result<std::size_t> size_or(std::string_view key, std::uint32_t most, std::size_t fallback) const {
    if (!has(key)) return fallback;
    return size(key, most);
  }
  Result<float> positive(std::string_view key) const {
    SLUICE_ASSIGN(const float value, as_invalid(file_.f32(name(key))));
    if (!(value > 0.0F) || !std::isfinite(value)) {
      return fail(ErrorCode::kInvalid, name(key) + " is not a positive number");
    }
    return value;
  }
  Result<float> positive_or(std::string_view key, float fallback) const {
    if (!has(key)) return fallback;
    return positive(key);
  }

 private:
  // A missing key makes the file invalid, whatever the reader calls it.
  template <class T>
  static Result<T> as_invalid(Result<T> result) {
    if (!result) return fail(ErrorCode::kInvalid, result.error().message);
    return result;
  }

  const GgufFile& file_;
  std::string prefix_;
};

Status read_rope(const GgufFile& file, const Keys& keys, ModelShape& shape) {
  shape.rope.style = shape.architecture == "llama" ? ops::RopeStyle::kPairs : ops::RopeStyle::kHalves;
  SLUICE_ASSIGN(shape.rope.dims, keys.size_or("rope.dimension_count", kHeadDimMax, shape.head_dim));
  if (shape.rope.dims > shape.head_dim || shape.rope.dims % 2 != 0) {
    return fail(ErrorCode::kCorrupt, keys.name("rope.dimension_count") + " doesn't fit heads of " +
                                         std::to_string(shape.head_dim));
  }
  SLUICE_ASSIGN(shape.rope.base, keys.positive_or("rope.freq_base", 10000.0F));
  SLUICE_ASSIGN(const std::string_view scaling, file.string_or(keys.name("rope.scaling.type"), "none"));
  if (scaling == "linear" || keys.has("rope.scale_linear")) {
    const bool old_name = !keys.has("rope.scaling.factor");
    SLUICE_ASSIGN(const float factor, keys.positive(old_name ? "rope.scale_linear" : "rope.scaling.factor"));
    shape.rope.position_scale = 1.0 / factor;
  } else if (scaling != "none") {
    return fail(ErrorCode::kInvalid,
                "rope scaling '" + std::string(scaling) + "' is not supported (supported: none, linear)");
  }
  return {};
}

}  // namespace

Result<ModelShape> read_shape(const GgufFile& file) {
  SLUICE_ASSIGN(const std::string_view architecture, file.string("general.architecture"));
  SLUICE_TRY(check_architecture(architecture));
  const Keys keys(file, architecture);
  ModelShape shape;
  shape.architecture = architecture;
  SLUICE_ASSIGN(shape.layers, keys.size("block_count", kLayersMax));
  SLUICE_ASSIGN(shape.width, keys.size("embedding_length", kWidthMax));
  SLUICE_ASSIGN(shape.feed_forward, keys.size("feed_forward_length", kWidthMax));
  SLUICE_ASSIGN(shape.context_tokens, keys.size("context_length", kContextMax));
  SLUICE_ASSIGN(shape.heads, keys.size("attention.head_count", kHeadsMax));
  SLUICE_ASSIGN(shape.kv_heads, keys.size_or("attention.head_count_kv", kHeadsMax, shape.heads));
  SLUICE_ASSIGN(shape.norm_epsilon, keys.positive("attention.layer_norm_rms_epsilon"));
  if (shape.heads % shape.kv_heads != 0) {
    return fail(ErrorCode::kCorrupt,
                keys.name("attention.head_count") + " is not a multiple of head_count_kv");
  }
  if (!keys.has("attention.key_length") && shape.width % shape.heads != 0) {
    return fail(ErrorCode::kCorrupt,
                keys.name("embedding_length") + " is not a multiple of attention.head_count");
  }
  SLUICE_ASSIGN(shape.head_dim, keys.size_or("attention.key_length", kHeadDimMax, shape.width / shape.heads));
  SLUICE_ASSIGN(const std::size_t value_dim,
                keys.size_or("attention.value_length", kHeadDimMax, shape.head_dim));
  if (value_dim != shape.head_dim) {
    return fail(ErrorCode::kInvalid,
                keys.name("attention.value_length") + " differs from key_length: not supported");
  }
  if (shape.head_dim > kHeadDimMax) {
    return fail(ErrorCode::kInvalid,
                "heads of " + std::to_string(shape.head_dim) + " numbers are not supported");
  }
  if (keys.has("expert_count")) {
    SLUICE_ASSIGN(const std::uint32_t experts, file.u32(keys.name("expert_count")));
    if (experts > 0) return fail(ErrorCode::kInvalid, "mixtures of experts are not supported");
  }
  SLUICE_TRY(read_rope(file, keys, shape));

  SLUICE_ASSIGN(const GgufTensor* embedding, file.tensor("token_embd.weight"));
  if (embedding->rows() > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max())) {
    return fail(ErrorCode::kCorrupt, "token_embd.weight has more rows than there can be tokens");
  }
  shape.vocabulary = static_cast<std::size_t>(embedding->rows());
  return shape;
}

}  // namespace sluice::model
