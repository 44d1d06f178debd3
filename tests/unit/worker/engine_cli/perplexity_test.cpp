#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "common/text/model_file.h"
#include "tests/unit/worker/engine_cli/run_command.h"
#include "tests/unit/worker/model/chain_model.h"
#include "tests/unit/worker/model/random_model.h"
#include "worker/engine_cli/text_file.h"
#include "worker/ops/kv_cache.h"

namespace sluice::engine_cli {
namespace {

class Perplexity : public testing::Test {
 protected:
  Ran measure(const std::string& text, PerplexityOptions options = {}, const std::string& name = "text.txt",
              std::size_t threads = 2) {
    std::ofstream(folder_.path(name), std::ios::trunc) << text;
    options.path = folder_.path(name);
    CommonOptions common = with_model();
    common.model.threads = threads;
    return run("", [&](const Io& io) { return perplexity(common, options, io); });
  }
  testmodel::TemporaryFolder folder_;
};

std::string prose() {
  std::ostringstream text;
  for (int i = 0; i < 40; ++i)
    text << "The answer to question " << i << " is written on page " << 3 * i << ". ";
  return text.str();
}

// The definition once more: one token at a time, from the logits.
double slow_mean(const std::string& text, std::size_t window) {
  const auto model = LoadedModel::load(with_model().model);
  const std::vector<TokenId> ids = (*model)->tokenizer().encode(text);
  const auto cache = ops::KvCache::make((*model)->model().kv_shape(), window + 32);
  double sum = 0.0;
  std::size_t scored = 0;
  for (std::size_t from = 0; from + window <= ids.size(); from += window) {
    const auto pages = (*cache)->reserve(window);
    for (std::size_t i = 0; i + 1 < window; ++i) {
      const model::StepToken token{ids[from + i], i, &*pages, true};
      const auto logits = (*model)->model().forward(**cache, {&token, 1});
      if (i + 1 < window / 2) continue;
      double total = 0.0;
      for (const float logit : logits) total += std::exp(static_cast<double>(logit));
      sum += std::log(total) - static_cast<double>(logits[static_cast<std::size_t>(ids[from + i + 1])]);
      ++scored;
    }
  }
  return sum / static_cast<double>(scored);
}

TEST_F(Perplexity, IsTheDefinitionOverTheSecondHalfOfEachWindow) {
  PerplexityOptions options;
  options.context = 64;
  const Ran ran = measure(prose(), options);
  ASSERT_EQ(ran.code, 0) << ran.err;
  const nlohmann::json got = ran.json();
  const double expected = slow_mean(prose(), 64);
  EXPECT_NEAR(got["nats_per_token"].get<double>(), expected, 1e-6);
  EXPECT_NEAR(got["perplexity"].get<double>(), std::exp(expected), 1e-4 * std::exp(expected));
  EXPECT_EQ(got["tokens_scored"], got["windows"].get<int>() * 32);
  EXPECT_GT(got["windows"].get<int>(), 3);
  EXPECT_EQ(got["scored"], "second half");
}

TEST_F(Perplexity, ThreadsDoNotChangeIt) {
  EXPECT_EQ(measure(prose(), {}, "text.txt", 1).out, measure(prose(), {}, "text.txt", 3).out);
}

TEST_F(Perplexity, AllScoresWhatHasATokenBeforeIt) {
  PerplexityOptions options;
  options.context = 64;
  options.all = true;
  const nlohmann::json got = measure(prose(), options).json();
  EXPECT_EQ(got["tokens_scored"], got["windows"].get<int>() * 63);
}

TEST_F(Perplexity, ATextShorterThanAWindowIsOneWindow) {
  const nlohmann::json got = measure("The quick brown fox jumps over the lazy dog.").json();
  EXPECT_EQ(got["windows"], 1);
}

TEST_F(Perplexity, OfConversationsOnlyAnswersCount) {
  const nlohmann::json right =
      measure(R"({"messages": [{"role": "user", "content": "What is 27 + 58?"}], "expected": "85"})", {},
              "a.jsonl")
          .json();
  EXPECT_EQ(right["scored"], "answers");
  EXPECT_EQ(right["tokens_scored"], 3);  // 8, 5 and the end of the turn.
  EXPECT_LT(right["perplexity"].get<double>(), 1.1);
  const nlohmann::json wrong =
      measure(R"({"messages": [{"role": "user", "content": "What is 27 + 58?"}], "expected": "31"})", {},
              "a.jsonl")
          .json();
  EXPECT_GT(wrong["perplexity"].get<double>(), 10.0);
}

// Lines without an answer are texts like any other: the last one counts as much as the first.
TEST_F(Perplexity, OfLinesWithoutAnswersTheSecondHalfCounts) {
  const std::string line = R"({"text": "The quick brown fox jumps over the lazy dog."})";
  const nlohmann::json one = measure(line, {}, "a.jsonl").json();
  EXPECT_EQ(one["scored"], "second half");
  EXPECT_EQ(one["windows"], 1);
  const nlohmann::json three = measure(line + "\n" + line + "\n" + line, {}, "a.jsonl").json();
  EXPECT_EQ(three["windows"], 3);
  EXPECT_EQ(three["tokens_scored"], 3 * one["tokens_scored"].get<int>());
  const std::string question = R"({"messages": [{"role": "user", "content": "What is 27 + 58?"}])";
  EXPECT_EQ(measure(question + "}\n" + question + "}", {}, "a.jsonl").json()["windows"], 2);
  const nlohmann::json mixed =
      measure(question + R"(, "expected": "85"})" + "\n" + line, {}, "a.jsonl").json();
  EXPECT_EQ(mixed["windows"], 2);
  EXPECT_EQ(mixed["scored"], "answers and second halves");
  EXPECT_EQ(mixed["tokens_scored"], 3 + one["tokens_scored"].get<int>());
}

// Of each long text alone, not of the file.
TEST_F(Perplexity, WhatIsLeftOverOfALongTextCountsForNothing) {
  std::string text;
  for (int i = 0; i < 1030; ++i) text += " word";
  const std::string line = nlohmann::json{{"text", text}}.dump();
  const nlohmann::json got = measure(line + "\n" + line, {}, "a.jsonl").json();
  EXPECT_EQ(got["windows"], 2);
  EXPECT_EQ(got["tokens_scored"], 2 * 512);
}

// Such a template writes "<think>" into its prompt, and past answers without it.
TEST_F(Perplexity, AnswersBehindATemplateThatOpensThoughtsAreScored) {
  std::ifstream source(SLUICE_SOURCE_DIR "/tests/unit/common/text/data/deepseek_r1_like.jinja");
  testmodel::ChainModel chain;
  chain.tokens = {{"a"},
                  {"b"},
                  {"Ċ"},
                  {"<think>", 4},
                  {"</think>", 4},
                  {"<｜User｜>", 3},
                  {"<｜Assistant｜>", 3},
                  {"<｜end▁of▁sentence｜>", 3}};
  chain.eos = "<｜end▁of▁sentence｜>";
  chain.chat_template = {std::istreambuf_iterator<char>(source), {}};
  ASSERT_FALSE(chain.chat_template.empty());
  chain.next = {{"Ċ", "a"}, {"a", "</think>"}, {"</think>", "b"}};
  chain.write(folder_.path("chain.gguf"));
  std::ofstream(folder_.path("a.jsonl"))
      << R"({"messages": [{"role": "user", "content": "ab"}], "expected": "a</think>b"})";
  const auto text = ModelText::open(folder_.path("chain.gguf"));
  ASSERT_TRUE(text) << text.error().message;
  const auto pieces = read_text_file(*text, folder_.path("a.jsonl"), {});
  ASSERT_TRUE(pieces) << pieces.error().message;
  ASSERT_EQ(pieces->size(), 1U);
  EXPECT_EQ((*pieces)[0].ids, (std::vector<TokenId>{5, 0, 1, 6, 3, 2, 0, 4, 1, 7}));
  EXPECT_EQ((*pieces)[0].answer_from, 6U);
  PerplexityOptions options;
  options.path = folder_.path("a.jsonl");
  const Ran ran =
      run("", [&](const Io& io) { return perplexity(with_model(folder_.path("chain.gguf")), options, io); });
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.json()["scored"], "answers");
  EXPECT_EQ(ran.json()["tokens_scored"], 4);
  EXPECT_LT(ran.json()["perplexity"].get<double>(), 1.1);  // It is what the model says.
}

TEST_F(Perplexity, AModelDoesNotDivergeFromItselfButFromItsQuantizedCopy) {
  PerplexityOptions options;
  options.baseline = kTinyModel;
  const nlohmann::json same = measure(prose(), options).json();
  EXPECT_NEAR(same["divergence_nats"].get<double>(), 0.0, 1e-12);
  EXPECT_EQ(same["same_top"], 1.0);
  QuantizeOptions quantized{.from = kTinyModel, .to = folder_.path("q.gguf"), .type = "Q4_0"};
  ASSERT_EQ(run("", [&](const Io& io) { return quantize(quantized, true, io); }).code, 0);
  options.baseline = quantized.to;
  EXPECT_GT(measure(prose(), options).json()["divergence_nats"].get<double>(), 1e-4);
}

TEST_F(Perplexity, RefusesWhatItCannotMeasure) {
  EXPECT_EQ(measure("").code, 1);
  EXPECT_EQ(measure("a b").code, 1);
  PerplexityOptions options;
  options.context = 100000;
  EXPECT_NE(measure(prose(), options).err.find("100000"), std::string::npos);
  EXPECT_NE(measure("nonsense\n", {}, "a.jsonl").err.find("line 1"), std::string::npos);
  CommonOptions common = with_model();
  PerplexityOptions missing;
  missing.path = folder_.path("none.txt");
  EXPECT_NE(run("", [&](const Io& io) { return perplexity(common, missing, io); }).err.find("none.txt"),
            std::string::npos);
}

}  // namespace
}  // namespace sluice::engine_cli
