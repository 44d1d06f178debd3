#include "tests/unit/worker/model/chain_model.h"

#include <algorithm>

#include "common/base/check.h"
#include "tests/unit/worker/model/random_model.h"

namespace sluice::testmodel {
namespace {

constexpr std::uint32_t kWidth = 64;

std::size_t id_of(const std::vector<ChainToken>& tokens, const std::string& text) {
  const auto found =
      std::find_if(tokens.begin(), tokens.end(), [&](const ChainToken& token) { return token.text == text; });
  SLUICE_CHECK(found != tokens.end());
  return static_cast<std::size_t>(found - tokens.begin());
}

}  // namespace

// Each token's embedding is an axis of its own. The layers add nothing to it, so the output matrix sees which
// token was last, and has a one where that axis meets the token that comes next.
void ChainModel::write(const std::string& path) const {
  SLUICE_CHECK(!tokens.empty() && tokens.size() <= kWidth);
  RandomModel model;
  model.layers = 1;
  model.width = kWidth;
  model.vocabulary = static_cast<std::uint32_t>(tokens.size());
  model.own_output = true;
  model.metadata = [&](GgufWriter& writer) {
    std::vector<std::string> texts;
    std::vector<std::int32_t> types;
    std::vector<float> scores;
    for (const ChainToken& token : tokens) {
      texts.push_back(token.text);
      types.push_back(token.type);
      scores.push_back(token.score);
    }
    const auto eos_id = static_cast<std::uint32_t>(id_of(tokens, eos));
    bool done = writer.set_string("tokenizer.ggml.model", pieces ? "llama" : "gpt2").has_value();
    done = done && writer.set_strings("tokenizer.ggml.tokens", texts).has_value();
    done = done && writer.set_i32s("tokenizer.ggml.token_type", types).has_value();
    done = done && (pieces ? writer.set_f32s("tokenizer.ggml.scores", scores)
                           : writer.set_strings("tokenizer.ggml.merges", std::vector<std::string>{}))
                       .has_value();
    done = done && writer.set_u32("tokenizer.ggml.eos_token_id", eos_id).has_value();
    done = done && writer.set_bool("tokenizer.ggml.add_bos_token", false).has_value();
    done = done && writer.set_string("tokenizer.chat_template", chat_template).has_value();
    SLUICE_CHECK(done);
  };
  model.tensors = [&](std::vector<RandomTensor>& all) {
    for (RandomTensor& tensor : all) {
      if (tensor.name == "output_norm.weight") {
        std::fill(tensor.values.begin(), tensor.values.end(), 1.0F);
        continue;
      }
      const bool adds =
          tensor.name.ends_with("attn_output.weight") || tensor.name.ends_with("ffn_down.weight");
      const bool embedding = tensor.name == "token_embd.weight";
      const bool output = tensor.name == "output.weight";
      if (adds || embedding || output) std::fill(tensor.values.begin(), tensor.values.end(), 0.0F);
      for (std::size_t id = 0; id < tokens.size(); ++id) {
        if (embedding) tensor.values[id * kWidth + id] = 1.0F;
        if (!output) continue;
        const auto named = std::find_if(next.begin(), next.end(),
                                        [&](const auto& pair) { return pair.first == tokens[id].text; });
        const std::size_t to = named == next.end() ? tokens.size() - 1 : id_of(tokens, named->second);
        tensor.values[to * kWidth + id] = 1.0F;
      }
    }
  };
  model.write(path);
}

}  // namespace sluice::testmodel
