#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "common/text/gguf.h"
#include "tests/unit/worker/engine_cli/run_command.h"
#include "tests/unit/worker/model/random_model.h"

namespace sluice::engine_cli {
namespace {

using testmodel::RandomModel;
using testmodel::RandomTensor;
using testmodel::TemporaryFolder;

Ran run_quantize(const std::string& from, const std::string& to, const std::string& type = "Q8_0") {
  return run("", [&](const Io& io) { return quantize({.from = from, .to = to, .type = type}, true, io); });
}

TEST(Quantize, TheDefaultModelBecomesQ8_0AndKeepsItsMetadata) {
  TemporaryFolder folder;
  const Ran ran = run_quantize(kTinyModel, folder.path("q8.gguf"), "q8_0");
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.json()["type"], "Q8_0");
  const auto before = GgufFile::open(kTinyModel);
  const auto after = GgufFile::open(folder.path("q8.gguf"));
  ASSERT_TRUE(before && after);
  EXPECT_EQ(*after->u32("general.file_type"), 7U);
  for (const GgufEntry& entry : before->entries()) {
    if (entry.key == "general.file_type") continue;
    const GgufEntry* same = after->find(entry.key);
    ASSERT_NE(same, nullptr) << entry.key;
    EXPECT_TRUE(
        std::equal(entry.payload.begin(), entry.payload.end(), same->payload.begin(), same->payload.end()));
  }
  ASSERT_EQ(after->tensors().size(), before->tensors().size());
  for (const GgufTensor& tensor : before->tensors()) {
    const auto same = after->tensor(tensor.name);
    ASSERT_TRUE(same.has_value());
    EXPECT_EQ((*same)->ne, tensor.ne);
    if (tensor.dims == 1) {
      ASSERT_EQ((*same)->type, GgmlType::kF32);
      EXPECT_TRUE(std::equal(tensor.view().begin(), tensor.view().end(), (*same)->view().begin()));
      continue;
    }
    ASSERT_EQ((*same)->type, GgmlType::kQ8_0) << tensor.name;
    const std::vector<float> was = testmodel::decode_tensor(tensor);
    const std::vector<float> is = testmodel::decode_tensor(**same);
    for (std::size_t block = 0; block < was.size(); block += 32) {
      float largest = 0.0F;
      for (std::size_t i = block; i < block + 32; ++i) largest = std::max(largest, std::fabs(was[i]));
      for (std::size_t i = block; i < block + 32; ++i) {
        // Half a step, and the scale's own rounding to a half (subnormal below 2^-14).
        ASSERT_LE(std::fabs(was[i] - is[i]),
                  largest / 254.0F * 1.01F + std::fabs(was[i]) * 0x1p-11F + 127 * 0x1p-25F);
      }
    }
  }
}

TEST(Quantize, MatricesThatDoNotFitBlocksStayAsTheyAre) {
  TemporaryFolder folder;
  RandomModel random;
  random.width = 48;  // Rows of 48 are no whole blocks; rows of 96 (ffn_down) are.
  random.write(folder.path("in.gguf"));
  ASSERT_EQ(run_quantize(folder.path("in.gguf"), folder.path("out.gguf")).code, 0);
  const auto file = GgufFile::open(folder.path("out.gguf"));
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ((*file->tensor("blk.0.attn_q.weight"))->type, GgmlType::kF32);
  EXPECT_EQ((*file->tensor("blk.0.ffn_down.weight"))->type, GgmlType::kQ8_0);
}

TEST(Quantize, QuantizedTensorsAreCopied) {
  TemporaryFolder folder;
  RandomModel random;
  random.type = GgmlType::kQ8_0;
  random.write(folder.path("in.gguf"));
  ASSERT_EQ(run_quantize(folder.path("in.gguf"), folder.path("out.gguf")).code, 0);
  const auto before = GgufFile::open(folder.path("in.gguf"));
  const auto after = GgufFile::open(folder.path("out.gguf"));
  for (const GgufTensor& tensor : before->tensors()) {
    const auto same = after->tensor(tensor.name);
    EXPECT_TRUE(std::equal(tensor.view().begin(), tensor.view().end(), (*same)->view().begin(),
                           (*same)->view().end()));
  }
}

TEST(Quantize, RefusesOtherTypesItselfMissingFilesAndNumbersThatAreNotFinite) {
  TemporaryFolder folder;
  const std::string out = folder.path("out.gguf");
  EXPECT_NE(run_quantize(kTinyModel, out, "Q4_K").err.find("Q4_K"), std::string::npos);
  EXPECT_EQ(run_quantize(kTinyModel, out, "nonsense").code, 1);
  EXPECT_NE(run_quantize(folder.path("none.gguf"), out).err.find("none.gguf"), std::string::npos);
  EXPECT_EQ(run_quantize(kTinyModel, "/nowhere/at/all/out.gguf").code, 1);

  RandomModel random;
  random.tensors = [](std::vector<RandomTensor>& tensors) {
    tensors[0].values.back() = std::numeric_limits<float>::quiet_NaN();
  };
  random.write(folder.path("nan.gguf"));
  const Ran nan = run_quantize(folder.path("nan.gguf"), out);
  EXPECT_EQ(nan.code, 1);
  EXPECT_NE(nan.err.find("token_embd.weight"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(out));  // Nothing half-written stays.

  random.tensors = nullptr;
  random.write(folder.path("same.gguf"));
  EXPECT_EQ(run_quantize(folder.path("same.gguf"), folder.path("same.gguf")).code, 1);
  EXPECT_TRUE(GgufFile::open(folder.path("same.gguf")).has_value());
}

}  // namespace
}  // namespace sluice::engine_cli
