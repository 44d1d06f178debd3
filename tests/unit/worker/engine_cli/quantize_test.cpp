#include <gtest/gtest.h>

#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>

#include "common/text/gguf.h"
#include "tests/unit/worker/engine_cli/run_command.h"
#include "tests/unit/worker/model/random_model.h"
#include "worker/kernels/formats/format.h"

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

TEST(Quantize, QuantizedFilesAreRefusedUnlessAskedFor) {
  TemporaryFolder folder;
  RandomModel random;
  random.type = GgmlType::kQ8_0;
  random.write(folder.path("in.gguf"));
  const Ran refused = run_quantize(folder.path("in.gguf"), folder.path("out.gguf"), "Q4_0");
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.err.find("token_embd.weight is Q8_0 already"), std::string::npos) << refused.err;
  EXPECT_FALSE(std::filesystem::exists(folder.path("out.gguf")));
  QuantizeOptions options{.from = folder.path("in.gguf"), .to = folder.path("out.gguf"), .type = "Q4_0"};
  options.requantize = true;
  ASSERT_EQ(run("", [&](const Io& io) { return quantize(options, true, io); }).code, 0);
  const auto quantized = GgufFile::open(options.to);
  EXPECT_EQ((*quantized->tensor("blk.0.attn_q.weight"))->type, GgmlType::kQ4_0);
  // Matrices that have the type are copied.
  options.type = "Q8_0";
  ASSERT_EQ(run("", [&](const Io& io) { return quantize(options, true, io); }).code, 0);
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
  const Ran unknown = run_quantize(kTinyModel, out, "IQ4_XS");
  EXPECT_NE(unknown.err.find("IQ4_XS"), std::string::npos);
  EXPECT_NE(unknown.err.find("Q4_K"), std::string::npos);  // What it could be instead.
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

TEST(Quantize, EveryFormatIsWrittenAndBarelyChangesWhatMatrixItWas) {
  TemporaryFolder folder;
  RandomModel random;
  random.width = 256;
  random.feed_forward = 512;
  random.write(folder.path("in.gguf"));
  const auto before = GgufFile::open(folder.path("in.gguf"));
  const std::vector<float> was = testmodel::decode_tensor(**before->tensor("blk.0.attn_q.weight"));
  for (const kernels::Format& format : kernels::formats()) {
    const std::string name(ggml_type_name(format.type));
    QuantizeOptions options{.from = folder.path("in.gguf"), .to = folder.path("out.gguf"), .type = name};
    options.pure = true;
    ASSERT_EQ(run("", [&](const Io& io) { return quantize(options, true, io); }).code, 0);
    const auto after = GgufFile::open(options.to);
    const GgufTensor& tensor = **after->tensor("blk.0.attn_q.weight");
    ASSERT_EQ(tensor.type, format.type);
    const std::vector<float> is = testmodel::decode_tensor(tensor);
    double error = 0.0;
    double size = 0.0;
    for (std::size_t i = 0; i < was.size(); ++i) {
      error += (was[i] - static_cast<double>(is[i])) * (was[i] - static_cast<double>(is[i]));
      size += static_cast<double>(was[i]) * was[i];
    }
    // Normal numbers rounded to n bits lose about 2^-n of their size each; of the bits counted here up to one
    // and a half belong to scales.
    const double bits = 8.0 * ggml_type_traits(format.type).bytes / ggml_type_traits(format.type).values;
    EXPECT_LT(std::sqrt(error / size), 3.0 * std::pow(2.0, -std::min(bits, 9.0))) << name;
    if (format.type == GgmlType::kF32) {
      EXPECT_EQ(was, is);
    }
  }
}

TEST(Quantize, ThreadsAndRunsGiveTheSameBytes) {
  TemporaryFolder folder;
  std::vector<std::string> files;
  for (const std::size_t threads : {1, 3}) {
    QuantizeOptions options{.from = kTinyModel, .to = folder.path("out.gguf"), .type = "Q4_K"};
    options.threads = threads;
    ASSERT_EQ(run("", [&](const Io& io) { return quantize(options, true, io); }).code, 0);
    std::ifstream in(options.to, std::ios::binary);
    files.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  EXPECT_TRUE(files[0] == files[1]);
}

TEST(Quantize, SpendsMoreBitsWhereErrorsCostMost) {
  TemporaryFolder folder;
  const auto type_in = [&](const std::string& type, const std::string& tensor, bool pure) {
    QuantizeOptions options{.from = kTinyModel, .to = folder.path("out.gguf"), .type = type};
    options.pure = pure;
    EXPECT_EQ(run("", [&](const Io& io) { return quantize(options, true, io); }).code, 0);
    const auto file = GgufFile::open(options.to);
    return std::string(ggml_type_name((*file->tensor(tensor))->type)) + " " +
           std::to_string(*file->u32("general.file_type"));
  };
  EXPECT_EQ(type_in("Q4_K", "token_embd.weight", false), "Q6_K 15");  // It is the output matrix, too.
  EXPECT_EQ(type_in("Q4_K", "token_embd.weight", true), "Q4_K 14");
  EXPECT_EQ(type_in("Q4_K", "blk.0.ffn_down.weight", false), "Q6_K 15");
  EXPECT_EQ(type_in("Q4_K", "blk.1.ffn_down.weight", false), "Q4_K 15");
  EXPECT_EQ(type_in("Q4_K", "blk.7.attn_v.weight", false), "Q6_K 15");
  EXPECT_EQ(type_in("Q4_K", "blk.1.attn_k.weight", false), "Q4_K 15");
  EXPECT_EQ(type_in("Q3_K", "blk.1.attn_v.weight", false), "Q5_K 12");
  EXPECT_EQ(type_in("Q2_K", "blk.1.ffn_down.weight", false), "Q3_K 10");
  EXPECT_EQ(type_in("Q4_0", "token_embd.weight", false), "Q6_K 2");
  EXPECT_EQ(type_in("Q4_0", "token_embd.weight", true), "Q4_0 2");
  EXPECT_EQ(type_in("Q4_0", "blk.0.ffn_down.weight", false), "Q4_0 2");
  EXPECT_EQ(type_in("Q8_0", "token_embd.weight", false), "Q8_0 7");
  EXPECT_EQ(type_in("F32", "blk.1.attn_v.weight", false), "F32 0");
}

TEST(Quantize, RowsThatAreNoWholeSuperBlocksGetBlocksOf32) {
  TemporaryFolder folder;
  RandomModel random;  // Rows of 64 and 96.
  random.write(folder.path("in.gguf"));
  const std::vector<std::pair<std::string, GgmlType>> cases = {{"Q2_K", GgmlType::kQ4_0},
                                                               {"Q3_K", GgmlType::kQ4_0},
                                                               {"Q4_K", GgmlType::kQ5_0},
                                                               {"Q5_K", GgmlType::kQ5_1},
                                                               {"Q6_K", GgmlType::kQ8_0}};
  for (const auto& [type, instead] : cases) {
    QuantizeOptions options{.from = folder.path("in.gguf"), .to = folder.path("out.gguf"), .type = type};
    options.pure = true;
    ASSERT_EQ(run("", [&](const Io& io) { return quantize(options, true, io); }).code, 0);
    EXPECT_EQ((*GgufFile::open(options.to)->tensor("blk.0.ffn_down.weight"))->type, instead) << type;
  }
}

TEST(Quantize, NumbersTooLargeForTheTypeAreRefused) {
  TemporaryFolder folder;
  RandomModel random;
  random.tensors = [](std::vector<RandomTensor>& tensors) { tensors[0].values.back() = 1e6F; };
  random.write(folder.path("in.gguf"));
  const Ran ran = run_quantize(folder.path("in.gguf"), folder.path("out.gguf"), "F16");
  EXPECT_EQ(ran.code, 1);
  EXPECT_NE(ran.err.find("token_embd.weight holds numbers too large for F16"), std::string::npos) << ran.err;
  EXPECT_EQ(run_quantize(folder.path("in.gguf"), folder.path("out.gguf"), "BF16").code, 0);
}

TEST(Quantize, AFullDiskIsAClearErrorAndLeavesNothing) {
  // A limit on the size of files fails writes like a full disk does.
  TemporaryFolder folder;
  const std::string out = folder.path("out.gguf");
  const auto quantize_on_a_small_disk = [&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_FSIZE, &small);
    QuantizeOptions options{.from = kTinyModel, .to = out, .type = "Q4_0"};
    options.threads = 1;
    const Ran ran = run("", [&](const Io& io) { return quantize(options, true, io); });
    std::cerr << ran.err;
    std::_Exit(ran.code);
  };
  EXPECT_EXIT(quantize_on_a_small_disk(), testing::ExitedWithCode(1), "out.gguf");
  std::size_t left = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(out).parent_path())) {
    ++left;
  }
  EXPECT_EQ(left, 0U);
}

TEST(Quantize, CalibrationChangesTheCodesAndKeepsTheTypes) {
  TemporaryFolder folder;
  std::ofstream(folder.path("prompts.jsonl"))
      << R"({"messages": [{"role": "user", "content": "What is 27 + 58?"}], "expected": "85"})"
      << "\n"
      << R"({"text": "Once upon a time"})"
      << "\n";
  QuantizeOptions options{.from = kTinyModel, .to = folder.path("plain.gguf"), .type = "Q4_0"};
  ASSERT_EQ(run("", [&](const Io& io) { return quantize(options, true, io); }).code, 0);
  options.to = folder.path("calibrated.gguf");
  options.calibrate = folder.path("prompts.jsonl");
  const Ran ran = run("", [&](const Io& io) { return quantize(options, true, io); });
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.json()["calibrated"], true);
  const auto plain = GgufFile::open(folder.path("plain.gguf"));
  const auto calibrated = GgufFile::open(folder.path("calibrated.gguf"));
  for (const GgufTensor& tensor : plain->tensors()) {
    const GgufTensor& other = **calibrated->tensor(tensor.name);
    EXPECT_EQ(tensor.type, other.type);
    const bool same = std::equal(tensor.view().begin(), tensor.view().end(), other.view().begin());
    EXPECT_EQ(same, tensor.dims == 1) << tensor.name;  // Every matrix is calibrated.
  }
  for (const char* bad : {"nonsense\n", "{}\n", R"({"messages": 5})", "\n"}) {
    std::ofstream(folder.path("prompts.jsonl"), std::ios::trunc) << bad;
    const Ran refused = run("", [&](const Io& io) { return quantize(options, true, io); });
    EXPECT_EQ(refused.code, 1) << bad;
    EXPECT_NE(refused.err.find("prompts.jsonl"), std::string::npos) << refused.err;
  }
}

}  // namespace
}  // namespace sluice::engine_cli
