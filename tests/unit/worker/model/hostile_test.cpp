// Files that are well-formed GGUF but not a model that can be run: refused, and the message names the
// culprit.
#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "tests/unit/worker/model/random_model.h"
#include "worker/kernels/formats/format.h"
#include "worker/model/model.h"

namespace sluice::model {
namespace {

using sluice::testmodel::RandomModel;
using sluice::testmodel::RandomTensor;
using sluice::testmodel::TemporaryFolder;

// The error of loading what `model` writes; "" and kInternal if it loads.
Error load_error(const RandomModel& model) {
  TemporaryFolder folder;
  model.write(folder.path("model.gguf"));
  const auto file = GgufFile::open(folder.path("model.gguf"));
  if (!file) return file.error();
  ops::ThreadPool pool(2);
  const auto loaded = load_model(*file, {*kernels::kernel_sets().front(), pool});
  if (loaded) return {ErrorCode::kInternal, ""};
  return loaded.error();
}

RandomTensor& named(std::vector<RandomTensor>& tensors, const std::string& name) {
  for (RandomTensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  throw std::out_of_range(name);
}

RandomModel with_key(std::function<void(GgufWriter&)> metadata) {
  RandomModel model;
  model.metadata = std::move(metadata);
  return model;
}

RandomModel with_tensors(std::function<void(std::vector<RandomTensor>&)> tensors) {
  RandomModel model;
  model.tensors = std::move(tensors);
  return model;
}

void expect_refused(const RandomModel& model, ErrorCode code, const std::string& named_in_message) {
  const Error error = load_error(model);
  EXPECT_EQ(error.code, code) << error.message;
  EXPECT_NE(error.message.find(named_in_message), std::string::npos) << error.message;
}

TEST(HostileModel, TheUnspoiltOneLoads) {
  EXPECT_EQ(load_error({}).message, "");
}

TEST(HostileModel, UnknownArchitecture) {
  RandomModel model;
  model.architecture = "gpt-neox";
  expect_refused(model, ErrorCode::kInvalid, "'gpt-neox'");
}

TEST(HostileModel, MissingKeys) {
  for (const char* key :
       {"qwen2.block_count", "qwen2.embedding_length", "qwen2.feed_forward_length", "qwen2.context_length",
        "qwen2.attention.head_count", "qwen2.attention.layer_norm_rms_epsilon"}) {
    expect_refused(with_key([&](GgufWriter& writer) { writer.remove(key); }), ErrorCode::kInvalid, key);
  }
}

TEST(HostileModel, KeysOutOfRange) {
  for (const char* key :
       {"qwen2.block_count", "qwen2.embedding_length", "qwen2.feed_forward_length", "qwen2.context_length",
        "qwen2.attention.head_count", "qwen2.attention.head_count_kv"}) {
    for (const std::uint32_t value : {0U, 0xFFFFFFFFU}) {
      expect_refused(with_key([&](GgufWriter& writer) { (void)writer.set_u32(key, value); }),
                     ErrorCode::kInvalid, key);
    }
    expect_refused(with_key([&](GgufWriter& writer) { (void)writer.set_string(key, "8"); }),
                   ErrorCode::kInvalid, key);
  }
  for (const float value :
       {0.0F, -1.0F, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    expect_refused(with_key([&](GgufWriter& writer) { (void)writer.set_f32("qwen2.rope.freq_base", value); }),
                   ErrorCode::kInvalid, "qwen2.rope.freq_base");
    expect_refused(with_key([&](GgufWriter& writer) {
                     (void)writer.set_f32("qwen2.attention.layer_norm_rms_epsilon", value);
                   }),
                   ErrorCode::kInvalid, "qwen2.attention.layer_norm_rms_epsilon");
  }
}

TEST(HostileModel, NumbersThatContradictEachOther) {
  expect_refused(with_key([](GgufWriter& w) { (void)w.set_u32("qwen2.attention.head_count_kv", 3); }),
                 ErrorCode::kCorrupt, "head_count");
  expect_refused(with_key([](GgufWriter& w) { (void)w.set_u32("qwen2.attention.head_count", 6); }),
                 ErrorCode::kCorrupt, "embedding_length");
  expect_refused(with_key([](GgufWriter& w) { (void)w.set_u32("qwen2.rope.dimension_count", 18); }),
                 ErrorCode::kCorrupt, "rope.dimension_count");
  expect_refused(with_key([](GgufWriter& w) { (void)w.set_u32("qwen2.rope.dimension_count", 7); }),
                 ErrorCode::kCorrupt, "rope.dimension_count");
  expect_refused(with_key([](GgufWriter& w) { (void)w.set_u32("qwen2.attention.value_length", 8); }),
                 ErrorCode::kInvalid, "value_length");
  expect_refused(with_key([](GgufWriter& w) { (void)w.set_u32("qwen2.embedding_length", 128); }),
                 ErrorCode::kCorrupt, "token_embd.weight");
}

TEST(HostileModel, OptionsThatAreNotSupported) {
  expect_refused(with_key([](GgufWriter& w) { (void)w.set_string("qwen2.rope.scaling.type", "yarn"); }),
                 ErrorCode::kInvalid, "'yarn'");
  expect_refused(with_key([](GgufWriter& w) { (void)w.set_u32("qwen2.expert_count", 8); }),
                 ErrorCode::kInvalid, "experts");
}

TEST(HostileModel, EveryMissingTensorIsNamed) {
  std::vector<std::string> names;
  load_error(with_tensors([&](std::vector<RandomTensor>& tensors) {
    for (const RandomTensor& tensor : tensors) names.push_back(tensor.name);
  }));
  ASSERT_EQ(names.size(), 26U);
  for (const std::string& name : names) {
    const Error error = load_error(with_tensors([&](std::vector<RandomTensor>& tensors) {
      std::erase_if(tensors, [&](const RandomTensor& tensor) { return tensor.name == name; });
    }));
    EXPECT_NE(error.message.find(name), std::string::npos) << name << ": " << error.message;
  }
}

TEST(HostileModel, EveryTensorsShapeIsChecked) {
  std::vector<RandomTensor> all;
  load_error(with_tensors([&](std::vector<RandomTensor>& tensors) { all = tensors; }));
  for (const RandomTensor& tensor : all) {
    for (std::size_t dimension = 0; dimension < tensor.ne.size(); ++dimension) {
      // More rows in the embedding are a larger vocabulary, which is fine.
      if (tensor.name == "token_embd.weight" && dimension == 1) continue;
      expect_refused(
          with_tensors([&](std::vector<RandomTensor>& tensors) {
            RandomTensor& spoilt = named(tensors, tensor.name);
            spoilt.values.resize(spoilt.values.size() / spoilt.ne[dimension] * (spoilt.ne[dimension] + 32));
            spoilt.ne[dimension] += 32;
          }),
          ErrorCode::kCorrupt, tensor.name);
    }
    expect_refused(with_tensors([&](std::vector<RandomTensor>& tensors) {
                     RandomTensor& spoilt = named(tensors, tensor.name);
                     while (spoilt.ne.size() < 3) spoilt.ne.push_back(spoilt.ne.size() == 2 ? 2 : 1);
                     spoilt.values.resize(spoilt.values.size() * 2);
                   }),
                   ErrorCode::kCorrupt, tensor.name);
  }
}

TEST(HostileModel, TypesThatAreNotSupportedAreNamed) {
  // Rows of 256, so that every type's blocks fit.
  for (const GgmlType type : {GgmlType::kIQ4_XS, GgmlType::kIQ4_NL, GgmlType::kQ8_1, GgmlType::kQ8_K,
                              GgmlType::kTQ1_0, GgmlType::kMXFP4, GgmlType::kI32, GgmlType::kF64}) {
    RandomModel model = with_tensors(
        [type](std::vector<RandomTensor>& tensors) { named(tensors, "blk.1.ffn_up.weight").type = type; });
    model.width = 256;
    expect_refused(model, ErrorCode::kInvalid, std::string(ggml_type_name(type)));
    expect_refused(model, ErrorCode::kInvalid, "blk.1.ffn_up.weight");
  }
}

TEST(HostileModel, ScalesThatAreNotFiniteAreFoundInEveryFormat) {
  for (const kernels::Format& format : kernels::formats()) {
    const GgmlTypeTraits& traits = ggml_type_traits(format.type);
    if (traits.values == 1) continue;
    RandomModel model;
    model.width = 256;
    model.feed_forward = 256;
    model.vocabulary = 32;
    model.type = format.type;
    EXPECT_EQ(load_error(model).message, "") << traits.name;
    TemporaryFolder folder;
    model.write(folder.path("model.gguf"));
    std::size_t found = 0;
    std::fstream bytes(folder.path("model.gguf"), std::ios::in | std::ios::out | std::ios::binary);
    const auto file = GgufFile::open(folder.path("model.gguf"));
    const GgufTensor& tensor = **file->tensor("blk.1.ffn_down.weight");
    // The writer puts the first tensor at the start of the data.
    const auto start = file->data_offset() + static_cast<std::size_t>(tensor.data - file->tensors()[0].data);
    // Every place of the tensor's last block is overwritten by what is infinity as a half: where that is a
    // scale the file is refused, anywhere else it is a block like any other.
    std::vector<char> block(traits.bytes);
    const std::size_t at = start + tensor.bytes - traits.bytes;
    bytes.seekg(static_cast<std::streamoff>(at));
    bytes.read(block.data(), static_cast<std::streamsize>(block.size()));
    for (std::size_t place = 0; place + 1 < block.size(); place += 2) {
      std::vector<char> spoilt = block;
      spoilt[place] = 0x00;
      spoilt[place + 1] = 0x7C;
      bytes.seekp(static_cast<std::streamoff>(at));
      bytes.write(spoilt.data(), static_cast<std::streamsize>(spoilt.size())).flush();
      const auto reopened = GgufFile::open(folder.path("model.gguf"));
      ASSERT_TRUE(reopened.has_value());
      ops::ThreadPool pool(1);
      const auto loaded = load_model(*reopened, {*kernels::kernel_sets().front(), pool});
      if (loaded) continue;
      EXPECT_NE(loaded.error().message.find("blk.1.ffn_down.weight"), std::string::npos);
      ++found;
    }
    const bool min = format.type == GgmlType::kQ4_1 || format.type == GgmlType::kQ5_1 ||
                     format.type == GgmlType::kQ2_K || format.type == GgmlType::kQ4_K ||
                     format.type == GgmlType::kQ5_K;
    EXPECT_EQ(found, min ? 2U : 1U) << traits.name;
  }
}

TEST(HostileModel, NumbersThatAreNotFiniteAreFoundWhereverTheyAre) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    for (const char* name :
         {"token_embd.weight", "blk.1.ffn_down.weight", "blk.0.attn_q.bias", "output_norm.weight"}) {
      for (const GgmlType type : {GgmlType::kF32, GgmlType::kF16, GgmlType::kBF16}) {
        RandomModel model = with_tensors(
            [&](std::vector<RandomTensor>& tensors) { named(tensors, name).values.back() = bad; });
        model.type = type;
        expect_refused(model, ErrorCode::kCorrupt, name);
      }
    }
  }
}

TEST(HostileModel, ATensorThatNobodyKnowsIsRefusedByName) {
  expect_refused(
      with_tensors([](std::vector<RandomTensor>& tensors) {
        tensors.push_back({"blk.0.attn_q_norm.weight", GgmlType::kF32, {16}, std::vector<float>(16, 1.0F)});
      }),
      ErrorCode::kInvalid, "blk.0.attn_q_norm.weight");
}

TEST(HostileModel, RopeDivisorsMustBePositive) {
  const auto with_divisors = [](float value) {
    return with_tensors([value](std::vector<RandomTensor>& tensors) {
      tensors.push_back({"rope_freqs.weight", GgmlType::kF32, {8}, std::vector<float>(8, value)});
    });
  };
  EXPECT_EQ(load_error(with_divisors(2.0F)).message, "");
  expect_refused(with_divisors(0.0F), ErrorCode::kCorrupt, "rope_freqs.weight");
  expect_refused(with_divisors(-1.0F), ErrorCode::kCorrupt, "rope_freqs.weight");
}

}  // namespace
}  // namespace sluice::model
