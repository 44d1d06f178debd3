// The default model against the values that transformers computed for it in single precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/unit/worker/model/random_model.h"
#include "worker/model/model.h"

namespace sluice::model {
namespace {

const std::string kFolder = SLUICE_SOURCE_DIR "/models/sluice-tiny/";

nlohmann::json reference() {
  std::ifstream in(kFolder + "reference.json");
  return nlohmann::json::parse(in);
}

// A loaded model with what it needs, for one sequence.
class Runner {
 public:
  explicit Runner(const std::string& path, const kernels::KernelSet& set,
                  ops::KvType kv_type = ops::KvType::kF32)
      : file_(std::move(*GgufFile::open(path))), pool_(2), context_{set, pool_} {
    auto model = load_model(file_, context_);
    EXPECT_TRUE(model.has_value()) << (model ? "" : model.error().message);
    model_ = std::move(*model);
    ops::KvShape shape = model_->kv_shape();
    shape.type = kv_type;
    cache_ = std::move(*KvCache::make(shape, 256));
  }

  // Starts anew with `ids` if `from` is 0, else goes on there.
  std::vector<float> logits(const std::vector<std::int32_t>& ids, std::size_t from) {
    if (from == 0) {
      pages_.release();
      pages_ = *cache_->reserve(128);
    }
    std::vector<StepToken> tokens;
    for (std::size_t i = 0; i < ids.size(); ++i)
      tokens.push_back({ids[i], from + i, &pages_, i + 1 == ids.size()});
    const std::span<float> out = model_->forward(*cache_, tokens);
    EXPECT_EQ(out.size(), model_->shape().vocabulary);
    return {out.begin(), out.end()};
  }

 private:
  using KvCache = ops::KvCache;
  GgufFile file_;
  ops::ThreadPool pool_;
  ops::Context context_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<KvCache> cache_;
  ops::KvPages pages_;
};

std::int32_t best(const std::vector<float>& logits) {
  return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// Returns how many of the prompts have the same greedy tokens; `gap` becomes the largest difference between a
// gap to the top logit here and there.
int compare(Runner& runner, double& gap) {
  int same = 0;
  gap = 0.0;
  const nlohmann::json all = reference();
  for (const auto& prompt : all.at("prompts")) {
    std::vector<std::int32_t> ids = prompt["ids"];
    std::vector<float> logits = runner.logits(ids, 0);
    const auto& top = prompt["top10"];
    const double top_there = top[0][1];
    const double top_here = logits[top[0][0].get<std::size_t>()];
    for (const auto& entry : top) {
      const double there = top_there - entry[1].get<double>();
      const double here = top_here - logits[entry[0].get<std::size_t>()];
      gap = std::max(gap, std::abs(here - there));
    }
    const std::vector<std::int32_t> greedy = prompt["greedy_ids"];
    std::vector<std::int32_t> got;
    std::size_t position = ids.size();
    while (true) {
      got.push_back(best(logits));
      if (got.size() == greedy.size()) break;
      logits = runner.logits({got.back()}, position++);
    }
    same += got == greedy ? 1 : 0;
  }
  return same;
}

class Reference : public testing::TestWithParam<const kernels::KernelSet*> {};

TEST_P(Reference, F16HasTheSameGapsAndTheSameGreedyTokens) {
  Runner runner(kFolder + "sluice-tiny-f16.gguf", *GetParam());
  double gap = 0.0;
  EXPECT_EQ(compare(runner, gap), 12);
  RecordProperty("largest_gap", std::to_string(gap));
  // 0.02 is the promise; only the order of additions differs, and that is worth far less.
  EXPECT_LE(gap, 0.002);
}

// The default type of the cache keeps the promise; eight bits cost about as much as weights of eight bits.
TEST_P(Reference, CompactKeysAndValuesStayNear) {
  double gap = 0.0;
  Runner half(kFolder + "sluice-tiny-f16.gguf", *GetParam(), ops::KvType::kF16);
  EXPECT_EQ(compare(half, gap), 12);
  RecordProperty("largest_gap_f16", std::to_string(gap));
  EXPECT_LE(gap, 0.02);
  Runner bytes(kFolder + "sluice-tiny-f16.gguf", *GetParam(), ops::KvType::kI8);
  EXPECT_GE(compare(bytes, gap), 11);
  RecordProperty("largest_gap_i8", std::to_string(gap));
  EXPECT_LE(gap, 0.5);
}

INSTANTIATE_TEST_SUITE_P(OnThisCpu, Reference,
                         testing::ValuesIn(kernels::kernel_sets().begin(), kernels::kernel_sets().end()),
                         [](const auto& info) {
                           std::string name(info.param->name);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// The same weights as a file of architecture llama: there the rotary embedding turns neighbours, so the rows
// of queries and keys change places. Nothing else may differ.
TEST(Llama, ComputesWhatQwen2DoesOnTheSameWeightsReordered) {
  const auto source = GgufFile::open(kFolder + "sluice-tiny-f16.gguf");
  ASSERT_TRUE(source.has_value());
  sluice::testmodel::TemporaryFolder folder;
  GgufWriter writer;
  writer.copy_metadata(*source);
  ASSERT_TRUE(writer.set_string("general.architecture", "llama").has_value());
  for (const GgufEntry& entry : source->entries()) {
    if (!entry.key.starts_with("qwen2.")) continue;
    const std::string key = "llama." + std::string(entry.key.substr(6));
    if (entry.type == GgufValueType::kF32) {
      ASSERT_TRUE(writer.set_f32(key, *source->f32(entry.key)).has_value());
    } else {
      ASSERT_TRUE(writer.set_u32(key, *source->u32(entry.key)).has_value());
    }
  }
  for (const GgufTensor& tensor : source->tensors()) {
    ASSERT_TRUE(writer
                    .add_tensor(tensor.name, tensor.type,
                                std::span(tensor.ne).first(static_cast<std::size_t>(tensor.dims)))
                    .has_value());
  }
  ASSERT_TRUE(writer.begin(folder.path("llama.gguf")).has_value());
  constexpr std::size_t kDim = 64;
  for (const GgufTensor& tensor : source->tensors()) {
    const bool turned = tensor.name.find("attn_q.") != std::string_view::npos ||
                        tensor.name.find("attn_k.") != std::string_view::npos;
    if (!turned) {
      ASSERT_TRUE(writer.append(tensor.view()).has_value());
      continue;
    }
    const std::size_t rows = tensor.dims == 1 ? tensor.ne[0] : tensor.ne[1];
    const std::size_t row_bytes = tensor.bytes / rows;
    for (std::size_t row = 0; row < rows; ++row) {
      const std::size_t within = row % kDim;
      const std::size_t from = row - within + within / 2 + (within % 2) * kDim / 2;
      ASSERT_TRUE(writer.append(tensor.view().subspan(from * row_bytes, row_bytes)).has_value());
    }
  }
  ASSERT_TRUE(writer.finish().has_value());

  Runner qwen2(kFolder + "sluice-tiny-f16.gguf", *kernels::kernel_sets().front());
  Runner llama(folder.path("llama.gguf"), *kernels::kernel_sets().front());
  double gap = 0.0;
  EXPECT_EQ(compare(llama, gap), 12);
  EXPECT_LE(gap, 0.002);
  const std::vector<std::int32_t> ids = {1, 2471, 201, 42, 928, 81, 3, 2, 201, 1, 706, 355, 422, 201};
  const std::vector<float> a = qwen2.logits(ids, 0);
  const std::vector<float> b = llama.logits(ids, 0);
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-3);
}

// Rounded to Q8_0 with int8 activations, gaps move by some tenths (another engine: 0.15 on average, 0.53 at
// most).
// A greedy continuation may turn elsewhere at a near tie, in one prompt at the most.
TEST(Q8_0, StaysNearTheReference) {
  const auto source = GgufFile::open(kFolder + "sluice-tiny-f16.gguf");
  ASSERT_TRUE(source.has_value());
  sluice::testmodel::TemporaryFolder folder;
  GgufWriter writer;
  writer.copy_metadata(*source);
  const auto type = [](const GgufTensor& tensor) { return tensor.dims == 2 ? GgmlType::kQ8_0 : tensor.type; };
  for (const GgufTensor& tensor : source->tensors()) {
    ASSERT_TRUE(writer
                    .add_tensor(tensor.name, type(tensor),
                                std::span(tensor.ne).first(static_cast<std::size_t>(tensor.dims)))
                    .has_value());
  }
  ASSERT_TRUE(writer.begin(folder.path("q8.gguf")).has_value());
  for (const GgufTensor& tensor : source->tensors()) {
    ASSERT_TRUE(
        writer
            .append(sluice::testmodel::encode_tensor(type(tensor), sluice::testmodel::decode_tensor(tensor)))
            .has_value());
  }
  ASSERT_TRUE(writer.finish().has_value());
  for (const kernels::KernelSet* set : kernels::kernel_sets()) {
    Runner runner(folder.path("q8.gguf"), *set);
    double gap = 0.0;
    const int same = compare(runner, gap);
    RecordProperty("same_" + std::string(set->name), same);
    EXPECT_GE(same, 11) << set->name;
    EXPECT_LE(gap, 0.8) << set->name;
  }
}

}  // namespace
}  // namespace sluice::model
