// What must hold for any model: steps may be cut anywhere and shared with anybody without changing a bit.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tests/unit/worker/model/random_model.h"
#include "worker/kernels/formats/format.h"
#include "worker/model/model.h"

namespace sluice::model {
namespace {

using sluice::testmodel::RandomModel;
using sluice::testmodel::RandomTensor;
using sluice::testmodel::TemporaryFolder;

enum class Scaling { kNone, kLinear, kFactors };

struct Case {
  const char* architecture;
  GgmlType type;
  bool own_output;
  Scaling scaling = Scaling::kNone;
};

class AnyModel : public testing::TestWithParam<Case> {
 protected:
  AnyModel() : pool_(3) {
    RandomModel random;
    random.architecture = GetParam().architecture;
    random.type = GetParam().type;
    random.own_output = GetParam().own_output;
    if (ggml_type_traits(GetParam().type).values == 256) {
      random.width = 256;
      random.feed_forward = 256;
    }
    // Heads that together are wider than the stream, as in the smaller models of that family.
    if (random.architecture == "qwen3") random.head_dim = 2 * random.width / random.heads;
    if (GetParam().scaling == Scaling::kLinear) random.metadata = scale_linearly;
    if (GetParam().scaling == Scaling::kFactors) random.tensors = add_divisors;
    random.write(folder_.path("model.gguf"));
    file_ = std::make_unique<GgufFile>(std::move(*GgufFile::open(folder_.path("model.gguf"))));
    auto model = load_model(*file_, context_);
    EXPECT_TRUE(model.has_value()) << (model ? "" : model.error().message);
    model_ = std::move(*model);
    use_cache(ops::KvType::kF32);
  }

  void use_cache(ops::KvType type) {
    ops::KvShape shape = model_->kv_shape();
    shape.type = type;
    cache_ = std::move(*ops::KvCache::make(shape, 4096));
  }

  // As deepseek-coder's files say it.
  static void scale_linearly(GgufWriter& writer) {
    EXPECT_TRUE(writer.set_string("llama.rope.scaling.type", "linear"));
    EXPECT_TRUE(writer.set_f32("llama.rope.scaling.factor", 4.0F));
  }
  // As the files of Llama 3.1 do: a divisor for each pair of a head's numbers.
  static void add_divisors(std::vector<RandomTensor>& tensors) {
    RandomTensor divisors{"rope_freqs.weight", GgmlType::kF32, {8}, {1, 1, 1.5, 2, 3, 5, 8, 8}};
    tensors.insert(tensors.begin(), divisors);
  }

  std::vector<std::int32_t> random_ids(std::size_t n, unsigned seed) const {
    std::mt19937 random(seed);
    std::vector<std::int32_t> ids;
    for (std::size_t i = 0; i < n; ++i)
      ids.push_back(static_cast<std::int32_t>(random() % model_->shape().vocabulary));
    return ids;
  }

  // Logits of every position, computed one token at a time.
  std::vector<std::vector<float>> one_by_one(const std::vector<std::int32_t>& ids) {
    const ops::KvPages pages = *cache_->reserve(ids.size());
    std::vector<std::vector<float>> all;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const StepToken token{ids[i], i, &pages, true};
      const std::span<float> out = model_->forward(*cache_, {&token, 1});
      all.emplace_back(out.begin(), out.end());
    }
    return all;
  }

  TemporaryFolder folder_;
  ops::ThreadPool pool_;
  ops::Context context_{*kernels::kernel_sets().front(), pool_};
  std::unique_ptr<GgufFile> file_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<ops::KvCache> cache_;
};

TEST_P(AnyModel, APromptInChunksEqualsItInOnePieceAndTokenByToken) {
  for (const ops::KvType kv : {ops::KvType::kF32, ops::KvType::kF16, ops::KvType::kI8}) {
    SCOPED_TRACE(ops::kv_type_name(kv));
    use_cache(kv);
    const std::vector<std::int32_t> ids = random_ids(100, 1);
    const auto expected = one_by_one(ids);
    for (std::size_t chunk : {100, 33, 7}) {
      const ops::KvPages pages = *cache_->reserve(ids.size());
      for (std::size_t from = 0; from < ids.size(); from += chunk) {
        std::vector<StepToken> tokens;
        for (std::size_t i = from; i < std::min(ids.size(), from + chunk); ++i) {
          tokens.push_back({ids[i], i, &pages, i % 5 == 4});
        }
        const std::span<float> out = model_->forward(*cache_, tokens);
        std::size_t row = 0;
        for (const StepToken& token : tokens) {
          if (!token.wants_logits) continue;
          ASSERT_EQ(std::memcmp(&out[row * model_->shape().vocabulary], expected[token.position].data(),
                                model_->shape().vocabulary * sizeof(float)),
                    0)
              << "position " << token.position << ", chunks of " << chunk;
          ++row;
        }
        ASSERT_EQ(out.size(), row * model_->shape().vocabulary);
      }
    }
  }
}

TEST_P(AnyModel, ASequenceDoesNotDependOnItsBatchMates) {
  for (const ops::KvType kv : {ops::KvType::kF32, ops::KvType::kF16, ops::KvType::kI8}) {
    SCOPED_TRACE(ops::kv_type_name(kv));
    use_cache(kv);
    std::vector<std::vector<std::int32_t>> sequences;
    std::vector<std::vector<std::vector<float>>> expected;
    for (unsigned s = 0; s < 16; ++s) {
      sequences.push_back(random_ids(20 + s, 10 + s));
      expected.push_back(one_by_one(sequences.back()));
    }
    std::vector<ops::KvPages> pages;
    pages.reserve(sequences.size());
    for (const auto& ids : sequences) pages.push_back(*cache_->reserve(ids.size()));
    // All in step, each step one token of every sequence but a chunk of one of them.
    std::vector<std::size_t> at(sequences.size(), 0);
    std::size_t step = 0;
    for (bool more = true; more; ++step) {
      std::vector<StepToken> tokens;
      std::vector<std::pair<std::size_t, std::size_t>> who;
      more = false;
      for (std::size_t s = 0; s < sequences.size(); ++s) {
        const std::size_t count = step % sequences.size() == s ? 5 : 1;
        for (std::size_t i = 0; i < count && at[s] < sequences[s].size(); ++i, ++at[s]) {
          tokens.push_back({sequences[s][at[s]], at[s], &pages[s], true});
          who.emplace_back(s, at[s]);
          more = true;
        }
      }
      const std::span<float> out = model_->forward(*cache_, tokens);
      for (std::size_t row = 0; row < who.size(); ++row) {
        ASSERT_EQ(std::memcmp(&out[row * model_->shape().vocabulary],
                              expected[who[row].first][who[row].second].data(),
                              model_->shape().vocabulary * sizeof(float)),
                  0);
      }
    }
  }
}

TEST_P(AnyModel, NoTokensAndNoWantedLogitsGiveNone) {
  EXPECT_TRUE(model_->forward(*cache_, {}).empty());
  const ops::KvPages pages = *cache_->reserve(4);
  const StepToken token{1, 0, &pages, false};
  EXPECT_TRUE(model_->forward(*cache_, {&token, 1}).empty());
}

// Against a computation written down once more, slowly and in double precision.
std::vector<double> slow_logits(const GgufFile& file, const ModelShape& s,
                                const std::vector<std::int32_t>& ids) {
  const auto get = [&](const std::string& name) {
    const GgufTensor* tensor = file.find_tensor(name);
    return tensor == nullptr ? std::vector<float>{} : sluice::testmodel::decode_tensor(*tensor);
  };
  const auto multiply = [](const std::vector<float>& w, const std::vector<double>& x,
                           const std::vector<float>& bias) {
    std::vector<double> y(w.size() / x.size(), 0.0);
    for (std::size_t r = 0; r < y.size(); ++r) {
      for (std::size_t k = 0; k < x.size(); ++k) y[r] += w[r * x.size() + k] * x[k];
      if (!bias.empty()) y[r] += bias[r];
    }
    return y;
  };
  const auto norm = [&](const std::vector<double>& x, const std::vector<float>& w) {
    double squares = 0.0;
    for (double v : x) squares += v * v;
    std::vector<double> y(x);
    for (std::size_t i = 0; i < y.size(); ++i)
      y[i] *= w[i] / std::sqrt(squares / static_cast<double>(x.size()) + s.norm_epsilon);
    return y;
  };
  const auto norm_heads = [&](const std::vector<double>& x, const std::vector<float>& w) {
    std::vector<double> y;
    for (auto head = x.begin(); head != x.end(); head += static_cast<std::ptrdiff_t>(s.head_dim)) {
      const std::vector<double> one = norm({head, head + static_cast<std::ptrdiff_t>(s.head_dim)}, w);
      y.insert(y.end(), one.begin(), one.end());
    }
    return y;
  };
  const std::vector<float> divisors = get("rope_freqs.weight");
  const bool linear = file.has("llama.rope.scaling.factor");
  const auto rotate = [&](std::vector<double>& x, std::size_t position) {
    for (std::size_t head = 0; head < x.size(); head += s.head_dim) {
      for (std::size_t i = 0; i < s.head_dim / 2; ++i) {
        const bool pairs = s.architecture == "llama";
        double& a = x[head + (pairs ? 2 * i : i)];
        double& b = x[head + (pairs ? 2 * i + 1 : i + s.head_dim / 2)];
        const double angle =
            static_cast<double>(position) / (linear ? 4.0 : 1.0) / (divisors.empty() ? 1.0 : divisors[i]) *
            std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(s.head_dim));
        const double turned = a * std::cos(angle) - b * std::sin(angle);
        b = a * std::sin(angle) + b * std::cos(angle);
        a = turned;
      }
    }
  };
  const std::vector<float> embedding = get("token_embd.weight");
  std::vector<std::vector<std::vector<double>>> keys(s.layers), values(s.layers);
  std::vector<double> x;
  for (std::size_t position = 0; position < ids.size(); ++position) {
    const auto row =
        embedding.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(ids[position]) * s.width);
    x.assign(row, row + static_cast<std::ptrdiff_t>(s.width));
    for (std::size_t layer = 0; layer < s.layers; ++layer) {
      const std::string p = "blk." + std::to_string(layer) + ".";
      const std::vector<double> h = norm(x, get(p + "attn_norm.weight"));
      std::vector<double> q = multiply(get(p + "attn_q.weight"), h, get(p + "attn_q.bias"));
      std::vector<double> k = multiply(get(p + "attn_k.weight"), h, get(p + "attn_k.bias"));
      if (s.architecture == "qwen3") {
        q = norm_heads(q, get(p + "attn_q_norm.weight"));
        k = norm_heads(k, get(p + "attn_k_norm.weight"));
      }
      rotate(q, position);
      rotate(k, position);
      keys[layer].push_back(k);
      values[layer].push_back(multiply(get(p + "attn_v.weight"), h, get(p + "attn_v.bias")));
      std::vector<double> mixed(q.size(), 0.0);
      for (std::size_t head = 0; head < s.heads; ++head) {
        const std::size_t kv = head / (s.heads / s.kv_heads) * s.head_dim;
        std::vector<double> scores;
        double sum = 0.0;
        for (std::size_t other = 0; other <= position; ++other) {
          double score = 0.0;
          for (std::size_t i = 0; i < s.head_dim; ++i)
            score += q[head * s.head_dim + i] * keys[layer][other][kv + i];
          scores.push_back(std::exp(score / std::sqrt(static_cast<double>(s.head_dim))));
          sum += scores.back();
        }
        for (std::size_t other = 0; other <= position; ++other) {
          for (std::size_t i = 0; i < s.head_dim; ++i) {
            mixed[head * s.head_dim + i] += scores[other] / sum * values[layer][other][kv + i];
          }
        }
      }
      const std::vector<double> attended = multiply(get(p + "attn_output.weight"), mixed, {});
      for (std::size_t i = 0; i < s.width; ++i) x[i] += attended[i];
      const std::vector<double> g = norm(x, get(p + "ffn_norm.weight"));
      std::vector<double> gate = multiply(get(p + "ffn_gate.weight"), g, {});
      const std::vector<double> up = multiply(get(p + "ffn_up.weight"), g, {});
      for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1.0 + std::exp(-gate[i])) * up[i];
      const std::vector<double> down = multiply(get(p + "ffn_down.weight"), gate, {});
      for (std::size_t i = 0; i < s.width; ++i) x[i] += down[i];
    }
  }
  const std::vector<float> out = get("output.weight");
  return multiply(out.empty() ? embedding : out, norm(x, get("output_norm.weight")), {});
}

TEST_P(AnyModel, LogitsEqualTheSlowComputation) {
  const std::vector<std::int32_t> ids = random_ids(40, 3);
  const std::vector<float> got = one_by_one(ids).back();
  const std::vector<double> expected = slow_logits(*file_, model_->shape(), ids);
  ASSERT_EQ(got.size(), expected.size());
  // Float: rounding alone. Blocks: activations may be rounded to 7 bits before each product, a relative error
  // of about 0.5 % a product of random signs, over 2 layers.
  const double tolerance = ggml_type_traits(GetParam().type).values > 1 ? 0.12 : 2e-5;
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], tolerance);
}

// Every format in every architecture, with and without an output matrix of its own.
std::vector<Case> cases() {
  std::vector<Case> all;
  bool own_output = false;
  for (const kernels::Format& format : kernels::formats()) {
    for (const char* architecture : {"qwen2", "qwen3", "llama"}) {
      all.push_back({architecture, format.type, own_output});
      own_output = !own_output;
    }
  }
  for (const GgmlType type : {GgmlType::kF32, GgmlType::kQ8_0}) {
    all.push_back({"llama", type, true, Scaling::kLinear});
    all.push_back({"llama", type, false, Scaling::kFactors});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, AnyModel, testing::ValuesIn(cases()), [](const auto& info) {
  const char* scaling = info.param.scaling == Scaling::kLinear    ? "_linear"
                        : info.param.scaling == Scaling::kFactors ? "_factors"
                                                                  : "";
  return info.param.architecture + std::string("_") + std::string(ggml_type_name(info.param.type)) + scaling;
});

}  // namespace
}  // namespace sluice::model
