#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "bench/model/random_blocks.h"
#include "bench/model/random_model.h"
#include "bench/model/synthetic_vocabulary.h"
#include "common/text/gguf.h"
#include "common/text/model_file.h"
#include "worker/engine_cli/quantize_plan.h"
#include "worker/model/model.h"
#include "worker/ops/matmul.h"

namespace sluice::bench {
namespace {

constexpr GgmlType kTypes[] = {GgmlType::kF32,  GgmlType::kF16,  GgmlType::kBF16, GgmlType::kQ8_0,
                               GgmlType::kQ4_0, GgmlType::kQ4_1, GgmlType::kQ5_0, GgmlType::kQ5_1,
                               GgmlType::kQ2_K, GgmlType::kQ3_K, GgmlType::kQ4_K, GgmlType::kQ5_K,
                               GgmlType::kQ6_K};

class RandomModel : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::path(::testing::TempDir()) /
        (std::string("random-model-") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& shape, const std::string& type, bool pure, unsigned threads = 2) {
    const std::string path = folder_ / (shape + type + std::to_string(threads) + ".gguf");
    const auto plan = plan_by_name(shape);
    const auto mix = mix_by_name(type, pure);
    EXPECT_TRUE(plan && mix);
    const Status done = write_random_model(*plan, *mix, 7, threads, path);
    EXPECT_TRUE(done) << done.error().message;
    return path;
  }
  static std::string bytes_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::filesystem::path folder_;
};

GgmlType type_of(const std::vector<PlannedTensor>& tensors, std::string_view name) {
  for (const PlannedTensor& tensor : tensors) {
    if (tensor.name == name) return tensor.type;
  }
  ADD_FAILURE() << name;
  return GgmlType::kF32;
}

TEST(RandomBlocks, NumbersHaveTheSpreadAskedForAndNoMean) {
  for (const GgmlType type : kTypes) {
    ASSERT_TRUE(ops::WeightMatrix::supports(type)) << ggml_type_name(type);
    constexpr std::size_t kCols = 4096, kRows = 32;
    std::vector<std::byte> bytes(ggml_row_bytes(type, kCols) * kRows);
    fill_random(type, 0.02F, 3, bytes);
    const auto matrix = ops::WeightMatrix::prepare(type, kRows, kCols, bytes.data());
    ASSERT_TRUE(matrix) << matrix.error().message;
    EXPECT_TRUE(matrix->finite(0, kRows));
    double sum = 0.0, squares = 0.0;
    std::vector<float> row(kCols);
    for (std::size_t r = 0; r < kRows; ++r) {
      matrix->read_row(r, row.data());
      for (const float x : row) {
        sum += x;
        squares += static_cast<double>(x) * x;
      }
    }
    constexpr double kCount = kCols * kRows;
    EXPECT_NEAR(std::sqrt(squares / kCount), 0.02, 0.003) << ggml_type_name(type);
    EXPECT_NEAR(sum / kCount, 0.0, 0.0004) << ggml_type_name(type);
  }
}

TEST(SyntheticVocabularyTest, HasExactlyTheTokensAskedFor) {
  for (const std::size_t size : {300, 2048, 32256, 151936}) {
    const auto vocabulary = synthetic_vocabulary(size);
    ASSERT_TRUE(vocabulary);
    EXPECT_EQ(vocabulary->tokens.size(), size);
    EXPECT_EQ(vocabulary->types.size(), size);
    EXPECT_EQ(vocabulary->turn_end, size - 1);
  }
  EXPECT_FALSE(synthetic_vocabulary(299));
  EXPECT_FALSE(synthetic_vocabulary(10'000'000));
}

TEST(RandomModelPlan, MixturesAreThoseOfQuantizers) {
  const auto plan = plan_by_name("deepseek-r1-distill-qwen-1.5b");
  ASSERT_TRUE(plan);
  const auto q4 = plan_tensors(*plan, *mix_by_name("Q4_0", false));
  ASSERT_TRUE(q4);
  EXPECT_EQ(type_of(*q4, "blk.0.ffn_down.weight"), GgmlType::kQ4_0);
  EXPECT_EQ(type_of(*q4, "output.weight"), GgmlType::kQ6_K);
  const auto pure = plan_tensors(*plan, *mix_by_name("Q4_0", true));
  EXPECT_EQ(type_of(*pure, "output.weight"), GgmlType::kQ4_0);
  const auto q8 = plan_tensors(*plan, *mix_by_name("q8_0", false));
  EXPECT_EQ(type_of(*q8, "output.weight"), GgmlType::kQ8_0);
  const auto medium = plan_tensors(*plan, *mix_by_name("Q4_K_M", false));
  EXPECT_EQ(type_of(*medium, "blk.0.ffn_down.weight"), GgmlType::kQ6_K);
  EXPECT_EQ(type_of(*medium, "blk.3.attn_v.weight"), GgmlType::kQ5_K);
  EXPECT_EQ(type_of(*medium, "blk.3.attn_q.weight"), GgmlType::kQ4_K);
  // Rows of 5504 numbers aren't whole blocks of 256.
  const auto coder = plan_tensors(*plan_by_name("deepseek-coder-1.3b"), *mix_by_name("Q4_K", false));
  EXPECT_EQ(type_of(*coder, "blk.3.ffn_down.weight"), GgmlType::kQ5_0);
  EXPECT_FALSE(plan_tensors(*plan_by_name("deepseek-coder-1.3b"), *mix_by_name("Q4_K", true)));
  EXPECT_FALSE(mix_by_name("IQ4_XS", false));
  EXPECT_FALSE(mix_by_name("Q9", false));
  EXPECT_FALSE(plan_by_name("gpt-2"));
}

TEST_F(RandomModel, TheMixIsWhatQuantizeWrites) {
  for (const char* shape : {"tiny-qwen2", "tiny-qwen3", "tiny-llama3"}) {
    auto plan = plan_by_name(shape);
    ASSERT_TRUE(plan);
    plan->layers = 17;
    plan->feed_forward = 544;  // No whole number of 256s.
    const std::string path = folder_ / (std::string(shape) + ".gguf");
    ASSERT_TRUE(write_random_model(*plan, *mix_by_name("F16", true), 7, 2, path));
    const auto file = GgufFile::open(path);
    ASSERT_TRUE(file) << file.error().message;
    const auto quantized = engine_cli::plan_types(*file, {.type = GgmlType::kQ4_K});
    const auto generated = plan_tensors(*plan, *mix_by_name("Q4_K_M", false));
    ASSERT_TRUE(quantized && generated);
    for (std::size_t i = 0; i < file->tensors().size(); ++i) {
      const std::string_view name = file->tensors()[i].name;
      if (name == "rope_freqs.weight") continue;  // Not of the plan.
      EXPECT_EQ(type_of(*generated, name), quantized->types[i]) << shape << " " << name;
    }
  }
}

TEST(RandomModelPlan, FrequencyDivisorsGrowFromOneToTheFactor) {
  const std::vector<float> divisors = llama3_divisors(128, 500000.0F);
  ASSERT_EQ(divisors.size(), 64U);
  EXPECT_EQ(divisors.front(), 1.0F);
  EXPECT_EQ(divisors.back(), 8.0F);
  EXPECT_TRUE(std::is_sorted(divisors.begin(), divisors.end()));
}

TEST_F(RandomModel, ThreadsDoNotChangeTheBytes) {
  EXPECT_EQ(bytes_of(write("tiny-qwen2", "Q4_K_M", false, 1)),
            bytes_of(write("tiny-qwen2", "Q4_K_M", false, 3)));
}

TEST_F(RandomModel, EveryTypeIsAFileThatComputesFiniteLogits) {
  for (const GgmlType type : kTypes) {
    const std::string path = write("tiny-qwen2", std::string(ggml_type_name(type)), true);
    const auto file = GgufFile::open(path);
    ASSERT_TRUE(file) << file.error().message;
    const auto text = ModelText::from(*file);
    ASSERT_TRUE(text) << text.error().message;
    EXPECT_EQ(text->tokenizer().vocab_size(), 2048U);
    EXPECT_EQ(text->tokenizer().decode(text->raw_prompt_ids("Two words.")), "Two words.");
    EXPECT_TRUE(text->prompt_ids({{"user", "hello"}}));
    ASSERT_TRUE(ops::WeightMatrix::supports(type)) << ggml_type_name(type);
    ops::ThreadPool pool(2);
    const auto model = model::load_model(*file, {*kernels::kernel_sets().front(), pool});
    ASSERT_TRUE(model) << model.error().message;
    const auto cache = ops::KvCache::make((*model)->kv_shape(), ops::kPageTokens);
    ASSERT_TRUE(cache);
    const auto pages = (*cache)->reserve(4);
    const std::vector<model::StepToken> step = {{5, 0, &*pages, false}, {70, 1, &*pages, true}};
    double squares = 0.0;
    const auto logits = (*model)->forward(**cache, step);
    for (const float x : logits) squares += static_cast<double>(x) * x;
    EXPECT_NEAR(std::sqrt(squares / static_cast<double>(logits.size())), 3.0, 1.0) << ggml_type_name(type);
  }
}

}  // namespace
}  // namespace sluice::bench
