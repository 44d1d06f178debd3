#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "common/text/gguf.h"
#include "common/text/gguf_writer.h"
#include "tests/unit/worker/engine_cli/run_command.h"
#include "tests/unit/worker/model/chain_model.h"
#include "tests/unit/worker/model/random_model.h"

namespace sluice::engine_cli {
namespace {

nlohmann::json reference() {
  std::ifstream in(kModels + "reference.json");
  return nlohmann::json::parse(in);
}

Ran run_generate(const std::string& text, GenerateOptions options, bool json = true) {
  SeededRng rng(1);
  return run(text, [&](const Io& io) { return generate(with_model(kTinyModel, json), options, rng, io); });
}

TEST(Tokenize, GivesTheReferencesIds) {
  const nlohmann::json all = reference();
  for (const auto& sample : all.at("tokenizer")) {
    const Ran ran =
        run(sample["text"], [](const Io& io) { return tokenize(with_model(), {.special = true}, io); });
    EXPECT_EQ(ran.code, 0);
    EXPECT_EQ(ran.json(), sample["ids"]) << sample["text"];
  }
}

TEST(Tokenize, SpecialTokensAndBosOnlyWhenAskedFor) {
  const std::string text = "<|im_start|>user\nHello!<|im_end|>";
  const auto with = [&](TokenizeOptions options) {
    return run(text, [&](const Io& io) { return tokenize(with_model(), options, io); })
        .json()
        .get<std::vector<int>>();
  };
  const std::vector<int> plain = with({});
  EXPECT_EQ(std::count(plain.begin(), plain.end(), 1), 0);
  const std::vector<int> special = with({.special = true});
  EXPECT_EQ(special, (std::vector<int>{1, 2471, 201, 42, 928, 81, 3, 2}));
  const std::vector<int> bos = with({.bos = true, .special = true});
  EXPECT_EQ(bos.front(), 0);
  EXPECT_EQ(std::vector<int>(bos.begin() + 1, bos.end()), special);
}

TEST(Tokenize, TakesAnyBytesAndNone) {
  EXPECT_EQ(run("", [](const Io& io) { return tokenize(with_model(), {}, io); }).out, "[]\n");
  const std::string bytes("a\0\xFF\xC3\n", 5);
  const Ran ran = run(bytes, [](const Io& io) { return tokenize(with_model(), {}, io); });
  EXPECT_EQ(ran.code, 0);
  EXPECT_GE(ran.json().size(), 5U);
}

// A vocabulary alone is enough.
TEST(Tokenize, WorksOnAFileWithoutWeights) {
  const auto source = GgufFile::open(kTinyModel);
  ASSERT_TRUE(source.has_value());
  testmodel::TemporaryFolder folder;
  GgufWriter writer;
  writer.copy_metadata(*source);
  ASSERT_TRUE(writer.begin(folder.path("vocabulary.gguf")).has_value());
  ASSERT_TRUE(writer.finish().has_value());
  const CommonOptions options = with_model(folder.path("vocabulary.gguf"));
  EXPECT_EQ(run("Hello world", [&](const Io& io) { return tokenize(options, {}, io); }).out,
            "[42,928,81,3463]\n");
  const Ran described = run("", [&](const Io& io) { return info(options, io); });
  EXPECT_EQ(described.code, 0);
  EXPECT_EQ(described.json()["supported"], false);
  EXPECT_EQ(described.json()["vocabulary_tokens"], 8192);
  const Ran refused = run("Hello", [&](const Io& io) { return logits(options, {}, io); });
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.err.find("token_embd.weight"), std::string::npos) << refused.err;
}

TEST(Logits, GivesTheReferencesIdsAndGaps) {
  const nlohmann::json all = reference();
  for (const kernels::KernelSet* kernels : kernels::kernel_sets()) {
    SCOPED_TRACE(kernels->name);
    CommonOptions options = with_model();
    options.model.kernels = kernels->name;
    for (const auto& prompt : all.at("prompts")) {
      const Ran ran = run(prompt["text"], [&](const Io& io) { return logits(options, {}, io); });
      ASSERT_EQ(ran.code, 0) << ran.err;
      const nlohmann::json got = ran.json();
      EXPECT_EQ(got["ids"], prompt["ids"]);
      ASSERT_EQ(got["top"].size(), 10U);
      for (std::size_t i = 0; i < 10; ++i) {
        EXPECT_EQ(got["top"][i][0], prompt["top10"][i][0]);
        EXPECT_NEAR(got["top"][i][1].get<double>(), prompt["top10"][i][1].get<double>(), 0.002);
      }
    }
  }
}

TEST(Logits, RefusesNothingAndTooMuch) {
  EXPECT_EQ(run("", [](const Io& io) { return logits(with_model(), {}, io); }).code, 1);
  std::string text;
  for (int i = 0; i < 1025; ++i) text += " word";
  const Ran ran = run(text, [](const Io& io) { return logits(with_model(), {}, io); });
  EXPECT_EQ(ran.code, 1);
  EXPECT_NE(ran.err.find("1024"), std::string::npos);
}

TEST(Generate, AnswersThroughTheTemplateWithTheEndToken) {
  const Ran ran = run_generate("What is 27 + 58?", {});
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.json(), nlohmann::json::parse(R"({"ids": [26, 23, 2], "text": "85", "finish_reason": "stop",
      "usage": {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23}})"));
  EXPECT_EQ(run_generate("What is 27 + 58?", {}, false).out, "85\n");
}

TEST(Generate, RawContinuesTheTextAsItIs) {
  const nlohmann::json all = reference();
  for (const auto& prompt : all.at("prompts")) {
    GenerateOptions options;
    options.raw = true;
    options.params.max_tokens = 32;
    const Ran ran = run_generate(prompt["text"], options);
    ASSERT_EQ(ran.code, 0) << ran.err;
    EXPECT_EQ(ran.json()["ids"], prompt["greedy_ids"]);
    EXPECT_EQ(ran.json()["text"], prompt["greedy_text"]);
  }
}

// Thinks "hm", then says "Hi".
TEST(Generate, ThoughtsGoToStandardErrorOnLinesOfTheirOwn) {
  testmodel::ChainModel chain;
  chain.tokens = {{"q"},  {"Ċ"},  {"<think>", 4}, {"</think>", 4},
                  {"hm"}, {"Hi"}, {"<|a|>", 3},   {"<|end|>", 3}};
  chain.eos = "<|end|>";
  chain.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}{{ '<|a|><think>\\n' }}";
  chain.next = {{"Ċ", "hm"}, {"hm", "</think>"}, {"</think>", "Hi"}};
  testmodel::TemporaryFolder folder;
  chain.write(folder.path("chain.gguf"));
  const auto answer = [&](int max_tokens, bool json) {
    SeededRng rng(1);
    GenerateOptions options;
    options.params.max_tokens = max_tokens;
    return run("q", [&](const Io& io) {
      return generate(with_model(folder.path("chain.gguf"), json), options, rng, io);
    });
  };
  const Ran whole = answer(16, false);
  EXPECT_EQ(whole.code, 0);
  EXPECT_EQ(whole.err, "hm\n");
  EXPECT_EQ(whole.out, "Hi\n");
  const Ran cut = answer(1, false);
  EXPECT_EQ(cut.err, "hm\n");
  EXPECT_EQ(cut.out, "\n");
  const Ran json = answer(16, true);
  EXPECT_EQ(json.err, "");
  EXPECT_EQ(json.json()["text"], "Hi");
  EXPECT_EQ(json.json()["reasoning_content"], "hm");
}

TEST(Generate, TheSameSeedGivesTheSameText) {
  GenerateOptions options;
  options.params.temperature = 1.5F;
  options.params.seed = 11;
  options.params.max_tokens = 30;
  EXPECT_EQ(run_generate("Tell me a story.", options).out, run_generate("Tell me a story.", options).out);
  const std::string first = run_generate("Tell me a story.", options).out;
  options.params.seed = 12;
  EXPECT_NE(run_generate("Tell me a story.", options).out, first);
}

TEST(Generate, ErrorsAreMessagesAndCodeOne) {
  GenerateOptions options;
  options.params.top_p = 7.0F;
  const Ran out_of_range = run_generate("Hello!", options);
  EXPECT_EQ(out_of_range.code, 1);
  EXPECT_NE(out_of_range.err.find("top_p"), std::string::npos);
  EXPECT_TRUE(out_of_range.out.empty());
  options = {};
  options.raw = true;
  EXPECT_EQ(run_generate("", options).code, 1);
}

TEST(Info, DescribesTheDefaultModel) {
  const Ran ran = run("", [](const Io& io) { return info(with_model(), io); });
  ASSERT_EQ(ran.code, 0) << ran.err;
  const nlohmann::json got = ran.json();
  EXPECT_EQ(got["name"], "sluice-tiny");
  EXPECT_EQ(got["architecture"], "qwen2");
  EXPECT_EQ(got["parameters"], 22034944);
  EXPECT_EQ(got["context_tokens"], 1024);
  EXPECT_EQ(got["supported"], true);
  EXPECT_EQ(got["weight_type"], "F16");
  EXPECT_NE(run("", [](const Io& io) { return info(with_model(kTinyModel, false), io); })
                .out.find("name: sluice-tiny\n"),
            std::string::npos);
}

TEST(Info, SaysWhyAModelIsNotSupported) {
  testmodel::TemporaryFolder folder;
  testmodel::RandomModel random;
  random.architecture = "gemma3";
  random.write(folder.path("model.gguf"));
  const Ran ran = run("", [&](const Io& io) { return info(with_model(folder.path("model.gguf")), io); });
  ASSERT_EQ(ran.code, 0);
  EXPECT_EQ(ran.json()["supported"], false);
  EXPECT_NE(ran.json()["unsupported_because"].get<std::string>().find("'gemma3'"), std::string::npos);
}

TEST(Info, WhatAFileSaysOfItselfReachesTheTerminalAsText) {
  testmodel::TemporaryFolder folder;
  testmodel::RandomModel random;
  random.architecture = "gem\x1b]0;ma";
  random.metadata = [](GgufWriter& writer) {
    (void)writer.set_string("general.name",
                            "a\x1b[2J\r\nname: b \xC2\x9B"
                            "1m");
  };
  const std::string path = folder.path("model.gguf");
  random.write(path);
  for (const bool json : {false, true}) {
    const Ran ran = run("", [&](const Io& io) { return info(with_model(path, json), io); });
    EXPECT_EQ(ran.code, 0);
    for (const char* steering : {"\x1b", "\r", "\xC2\x9B"})
      EXPECT_EQ(ran.out.find(steering), std::string::npos);
    if (json) {
      EXPECT_EQ(ran.json()["name"],
                "a\x1b[2J\r\nname: b \xC2\x9B"
                "1m");
    } else {
      EXPECT_NE(ran.out.find("name: a\\x1b[2J\\r\\nname: b \\u{9b}1m\n"), std::string::npos) << ran.out;
    }
  }
  SeededRng rng(1);
  const Ran refused = run("x", [&](const Io& io) { return generate(with_model(path, false), {}, rng, io); });
  EXPECT_EQ(refused.code, 1);
  EXPECT_EQ(refused.err.find('\x1b'), std::string::npos);
}

// Cut anywhere, or with bytes changed: an error or an answer, never a crash (the sanitizers watch).
TEST(HostileFiles, TruncatedAndSpoiltFilesAreRefusedWithAMessage) {
  std::ifstream in(kTinyModel, std::ios::binary);
  std::string header(600000, '\0');
  in.read(header.data(), static_cast<std::streamsize>(header.size()));
  testmodel::TemporaryFolder folder;
  const std::string path = folder.path("spoilt.gguf");
  const auto try_all = [&](const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    SeededRng rng(1);
    const Ran tokens = run("Hello", [&](const Io& io) { return tokenize(with_model(path), {}, io); });
    EXPECT_EQ(tokens.err.empty(), tokens.code == 0);
    const Ran answer = run("Hello", [&](const Io& io) { return generate(with_model(path), {}, rng, io); });
    EXPECT_EQ(answer.code, 1);  // The weights aren't all there.
    EXPECT_FALSE(answer.err.empty());
  };
  for (std::size_t size : {0, 1, 4, 7, 23, 24, 100, 1000, 50000, 200000, 400000, 599999})
    try_all(header.substr(0, size));
  std::uint64_t random = 1;
  for (int round = 0; round < 60; ++round) {
    std::string spoilt = header;
    for (int change = 0; change < 1 + round % 4; ++change) {
      random = random * 6364136223846793005ULL + 1442695040888963407ULL;
      // Half of them in the first kilobyte, where the counts and types are.
      const std::size_t at = (random >> 33) % (round % 2 == 0 ? 1000 : spoilt.size());
      spoilt[at] = static_cast<char>(random >> 24);
    }
    try_all(spoilt);
  }
}

}  // namespace
}  // namespace sluice::engine_cli
