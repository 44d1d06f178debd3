// What becomes of the tokens that a model answers with: spaces, thoughts, marks.
#include <gtest/gtest.h>

#include "tests/unit/worker/engine/run_engine.h"
#include "tests/unit/worker/model/chain_model.h"
#include "tests/unit/worker/model/random_model.h"
#include "worker/engine/native_engine.h"

namespace sluice {
namespace {

using testengine::chat;
using testengine::run_one;
using testmodel::ChainModel;

class Answers : public ::testing::Test {
 protected:
  NativeEngine& open(const ChainModel& model) {
    model.write(folder_.path("chain.gguf"));
    NativeEngineConfig config;
    config.model.path = folder_.path("chain.gguf");
    config.model.threads = 1;
    auto engine = NativeEngine::open(config, rng_);
    EXPECT_TRUE(engine.has_value()) << engine.error().message;
    engine_ = std::move(*engine);
    return *engine_;
  }
  static Generation raw(NativeEngine& engine, const std::string& text) {
    GenerationRequest request;
    request.prompt = *engine.prepare({.messages = {}, .raw = text});
    return run_one(engine, std::move(request));
  }

  testmodel::TemporaryFolder folder_;
  SeededRng rng_{1};
  std::unique_ptr<NativeEngine> engine_;
};

// Answers "Hi you[x]" behind the mark of its turn, as such a vocabulary writes it.
ChainModel in_pieces(const std::string& template_end) {
  ChainModel model;
  model.pieces = true;
  model.tokens = {{"<unk>", 2},  {"<s>", 3},    {"</s>", 3},    {"[a]", 3},     {"[x]", 4},     {"▁", 1, -9},
                  {"q", 1, -9},  {"H", 1, -9},  {"i", 1, -9},   {"y", 1, -9},   {"o", 1, -9},   {"u", 1, -9},
                  {"▁H", 1, -4}, {"▁y", 1, -4}, {"▁yo", 1, -3}, {"▁Hi", 1, -1}, {"▁you", 1, -1}};
  model.eos = "</s>";
  model.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}{{ '" + template_end + "' }}";
  model.next = {{"[a]", "▁Hi"}, {"q", "▁Hi"}, {"▁Hi", "▁you"}, {"▁you", "[x]"}, {"[x]", "</s>"}};
  return model;
}

TEST_F(Answers, OfPiecesDoNotBeginWithTheSpaceThatEncodingPutsThere) {
  NativeEngine& engine = open(in_pieces("[a]"));
  SamplingParams params;
  params.logprobs = true;
  params.top_logprobs = 1;
  const Generation answer = run_one(engine, chat(engine, "a", "q", params));
  EXPECT_EQ(answer.text, "Hi you[x]");
  EXPECT_EQ(answer.text, engine.model().tokenizer().decode(answer.ids));
  ASSERT_EQ(answer.logprobs.size(), 3U);
  EXPECT_EQ(answer.logprobs[0].bytes, "Hi");
  EXPECT_EQ(answer.logprobs[0].top[0].bytes, "Hi");
  EXPECT_EQ(answer.logprobs[1].bytes, " you");
  // What it answered comes back as the same tokens.
  EXPECT_EQ(engine.model().tokenizer().encode(answer.text),
            std::vector<TokenId>(answer.ids.begin(), answer.ids.end() - 1));
}

TEST_F(Answers, OfPiecesKeepASpaceThatOnlyTheModelCanHaveMeant) {
  // Behind plain text encoding puts no space.
  NativeEngine& engine = open(in_pieces("q"));
  EXPECT_EQ(run_one(engine, chat(engine, "a", "q")).text, " Hi you[x]");
  // A raw prompt's text goes on, whatever it ends with.
  EXPECT_EQ(raw(engine, "q").text, " Hi you[x]");
  EXPECT_EQ(raw(engine, "q[a]").text, " Hi you[x]");
}

TEST_F(Answers, OfPiecesBeginAnewBehindASpecialToken) {
  ChainModel model = in_pieces("[a]");
  model.next = {{"[a]", "[x]"}, {"[x]", "▁Hi"}, {"▁Hi", "▁you"}, {"▁you", "</s>"}};
  NativeEngine& engine = open(model);
  const Generation answer = run_one(engine, chat(engine, "a", "q"));
  EXPECT_EQ(answer.text, "[x]Hi you");
  EXPECT_EQ(answer.text, engine.model().tokenizer().decode(answer.ids));
}

// Thinks "hm", then says "Hi". `mark_type`: 4, user-defined, or 3, control.
ChainModel thinking(std::int32_t mark_type, bool template_opens) {
  ChainModel model;
  model.tokens = {{"q"},  {"Ċ"},  {"<think>", mark_type}, {"</think>", mark_type},
                  {"hm"}, {"Hi"}, {"<|a|>", 3},           {"<|end|>", 3}};
  model.eos = "<|end|>";
  model.chat_template = std::string("{% for m in messages %}{{ m['content'] }}{% endfor %}") +
                        (template_opens ? "{{ '<|a|><think>\\n' }}" : "{{ '<|a|>' }}");
  model.next = {{"<|a|>", "<think>"}, {"<think>", "Ċ"}, {"Ċ", "hm"}, {"hm", "</think>"}, {"</think>", "Hi"}};
  return model;
}

TEST_F(Answers, ATemplateThatOpensThoughtsIsRecognised) {
  for (const std::int32_t mark_type : {4, 3}) {
    SCOPED_TRACE(mark_type);
    NativeEngine& engine = open(thinking(mark_type, true));
    const auto prompt = engine.prepare({.messages = {{"user", "q"}}, .raw = ""});
    ASSERT_TRUE(prompt.has_value());
    EXPECT_EQ(prompt->ids, (std::vector<std::int32_t>{0, 6, 2, 1}));
    EXPECT_TRUE(prompt->thinks);
    const Generation answer = run_one(engine, chat(engine, "a", "q"));
    EXPECT_EQ(answer.reasoning, "hm");
    EXPECT_EQ(answer.text, "Hi");
    EXPECT_EQ(answer.usage.reasoning_tokens, 2U);  // "hm" and the mark that ends it.
  }
}

TEST_F(Answers, ThoughtsThatTheModelOpensAreToldApartToo) {
  for (const std::int32_t mark_type : {4, 3}) {
    SCOPED_TRACE(mark_type);
    NativeEngine& engine = open(thinking(mark_type, false));
    EXPECT_FALSE(engine.prepare({.messages = {{"user", "q"}}, .raw = ""})->thinks);
    const Generation answer = run_one(engine, chat(engine, "a", "q"));
    EXPECT_EQ(answer.reasoning, "hm");
    EXPECT_EQ(answer.text, "Hi");
    EXPECT_EQ(answer.usage.reasoning_tokens, 4U);
    // A raw prompt's answer is never split.
    EXPECT_EQ(raw(engine, "q<|a|>").text, "<think>\nhm</think>Hi");
  }
}

// The mark in what somebody says opens nothing: the template's own end counts.
TEST_F(Answers, AMessageCannotOpenThoughts) {
  NativeEngine& engine = open(thinking(4, false));
  const auto prompt = engine.prepare({.messages = {{"user", "q<think>\n"}}, .raw = ""});
  ASSERT_TRUE(prompt.has_value());
  EXPECT_FALSE(prompt->thinks);
}

}  // namespace
}  // namespace sluice
