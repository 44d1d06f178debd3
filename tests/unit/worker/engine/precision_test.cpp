// Two formats of one model in one engine: each request is computed with the weights that it asks for, and
// with nothing else.
#include <gtest/gtest.h>

#include <sstream>

#include "tests/unit/worker/engine/run_engine.h"
#include "tests/unit/worker/model/chain_model.h"
#include "tests/unit/worker/model/random_model.h"
#include "worker/engine/native_engine.h"
#include "worker/engine_cli/commands.h"

namespace sluice {
namespace {

using testengine::chat;
using testengine::kTinyModel;
using testengine::run_all;
using testengine::run_one;
using testmodel::ChainModel;

// Answers "f" and goes on with `word`.
ChainModel saying(const std::string& word) {
  ChainModel model;
  model.tokens = {{"<e>", 3}, {"f", 1}, {"u", 1}, {"q", 1}, {"end", 3}};
  model.eos = "end";
  model.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}";
  model.next = {{"q", word}, {"f", "end"}, {"u", "end"}};
  return model;
}

class Precision : public ::testing::Test {
 protected:
  // sluice-tiny in four bits; made when it is first asked for.
  const std::string& fast_file() {
    if (!fast_file_.empty()) return fast_file_;
    fast_file_ = folder_.path("fast.gguf");
    engine_cli::QuantizeOptions options;
    options.from = kTinyModel;
    options.to = fast_file_;
    options.type = "Q4_0";
    options.pure = true;
    options.threads = 2;
    std::istringstream in;
    std::ostringstream out, err;
    EXPECT_EQ(engine_cli::quantize(options, false, {in, out, err}), 0) << err.str();
    return fast_file_;
  }
  Result<std::unique_ptr<NativeEngine>> try_open(const std::string& path, const std::string& fast,
                                                 std::size_t kv_memory_bytes = 64U << 20) {
    NativeEngineConfig config;
    config.model.path = path;
    config.model.threads = 2;
    config.fast_model = fast;
    config.sequences_max = 8;
    config.kv_memory_bytes = kv_memory_bytes;
    return NativeEngine::open(config, rng_);
  }
  std::unique_ptr<NativeEngine> open(const std::string& path, const std::string& fast = {}) {
    auto engine = try_open(path, fast);
    EXPECT_TRUE(engine.has_value()) << (engine ? "" : engine.error().message);
    return std::move(*engine);
  }
  // Greedy and drawn ones, long enough that four bits give other text than sixteen.
  static GenerationRequest request(const Engine& engine, int i, bool fast) {
    SamplingParams params;
    params.max_tokens = 24;
    params.seed = 100 + static_cast<std::uint64_t>(i);
    params.temperature = i % 2 == 0 ? 0.0F : 1.3F;
    GenerationRequest made =
        chat(engine, std::to_string(i), "Tell me about number " + std::to_string(7 * i) + ".", params);
    made.scope = "tenant";
    made.fast = fast;
    return made;
  }

  testmodel::TemporaryFolder folder_;
  std::string fast_file_;
  SeededRng rng_{5};
};

TEST_F(Precision, EachRequestIsComputedWithTheWeightsThatItAsksForWhateverItsMatesDo) {
  constexpr int kRequests = 8;
  std::map<int, Generation> full, fast;
  const auto alone_full = open(kTinyModel);
  const auto alone_fast = open(fast_file());
  int differing = 0;
  for (int i = 0; i < kRequests; ++i) {
    full[i] = run_one(*alone_full, request(*alone_full, i, false));
    fast[i] = run_one(*alone_fast, request(*alone_fast, i, false));
    differing += full[i].ids == fast[i].ids ? 0 : 1;
  }
  ASSERT_GT(differing, kRequests / 2);

  const auto both = open(kTinyModel, fast_file());
  for (const int fast_ones : {0, 1, 2, 3}) {  // None, each second one, the other ones, all.
    for (int i = 0; i < kRequests; ++i) {
      ASSERT_TRUE(both->add(request(*both, i, ((fast_ones >> (i % 2)) & 1) != 0)).has_value());
    }
    const auto ended = run_all(*both);
    for (int i = 0; i < kRequests; ++i) {
      const bool is_fast = ((fast_ones >> (i % 2)) & 1) != 0;
      const GenerationOutcome& outcome = ended.at(std::to_string(i)).outcome;
      ASSERT_TRUE(outcome.has_value());
      EXPECT_EQ(outcome->ids, is_fast ? fast[i].ids : full[i].ids) << i << " of " << fast_ones;
      EXPECT_EQ(outcome->weight_type, is_fast ? "Q4_0" : "F16");
    }
  }
  EXPECT_EQ(both->load().kv_tokens_free, both->info().kv_tokens_max);
}

TEST_F(Precision, WhatOtherWeightsComputedOfAPromptIsNotTaken) {
  const auto engine = open(kTinyModel, fast_file());
  EXPECT_EQ(engine->info().weight_type, "F16");
  EXPECT_EQ(engine->info().fast_weight_type, "Q4_0");
  const std::string text(400, 'a');
  const auto cached = [&](const std::string& key, bool fast) {
    GenerationRequest made = chat(*engine, key, text);
    made.params.max_tokens = 2;
    made.scope = "tenant";
    made.fast = fast;
    return run_one(*engine, std::move(made)).usage.cached_tokens;
  };
  EXPECT_EQ(cached("a", true), 0U);
  EXPECT_EQ(cached("b", false), 0U);
  EXPECT_GT(cached("c", true), 0U);
  EXPECT_GT(cached("d", false), 0U);
}

TEST_F(Precision, BothShareThePlacesAndTheRoom) {
  const auto opened = try_open(kTinyModel, fast_file(), 1U << 20);
  ASSERT_TRUE(opened.has_value());
  NativeEngine& engine = **opened;
  ASSERT_EQ(engine.info().kv_tokens_max, 256U);
  SamplingParams params;
  params.max_tokens = 100;  // Four pages with the prompt.
  for (const bool fast : {false, true}) {
    GenerationRequest made = chat(engine, fast ? "a" : "b", "Who are you?", params);
    made.fast = fast;
    ASSERT_TRUE(engine.add(std::move(made)).has_value());
  }
  EXPECT_EQ(engine.load().kv_tokens_free, 0U);
  for (const bool fast : {false, true}) {
    GenerationRequest made = chat(engine, "c", "Who are you?", params);
    made.fast = fast;
    EXPECT_EQ(engine.add(std::move(made)).error().code, ErrorCode::kExhausted);
  }
  engine.cancel("a");
  const auto ended = run_all(engine);
  EXPECT_EQ(ended.at("a").outcome->finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(ended.at("b").outcome->weight_type, "F16");
}

TEST_F(Precision, WithoutFasterWeightsEveryRequestIsComputedInFull) {
  const auto engine = open(kTinyModel);
  EXPECT_EQ(engine->info().fast_weight_type, "");
  const Generation asked = run_one(*engine, request(*engine, 1, true));
  EXPECT_EQ(asked.weight_type, "F16");
  EXPECT_EQ(asked.ids, run_one(*engine, request(*engine, 1, false)).ids);
}

TEST_F(Precision, PromptsAndTextsAreThoseOfTheFirstFile) {
  saying("f").write(folder_.path("f.gguf"));
  ChainModel other = saying("u");
  other.chat_template = "{{ 'none of it' }}";
  other.write(folder_.path("u.gguf"));
  const auto engine = open(folder_.path("f.gguf"), folder_.path("u.gguf"));
  GenerationRequest fast = chat(*engine, "a", "q");
  fast.fast = true;
  EXPECT_EQ(run_one(*engine, std::move(fast)).text, "u");
  EXPECT_EQ(run_one(*engine, chat(*engine, "b", "q")).text, "f");
}

TEST_F(Precision, AnotherModelOrVocabularyIsRefusedByName) {
  const auto message = [&](const std::string& fast) {
    const auto engine = try_open(folder_.path("f.gguf"), fast);
    EXPECT_FALSE(engine.has_value());
    return engine ? std::string() : engine.error().message;
  };
  saying("f").write(folder_.path("f.gguf"));
  const std::string other_model = message(kTinyModel);
  EXPECT_NE(other_model.find(kTinyModel), std::string::npos) << other_model;
  EXPECT_NE(other_model.find("f.gguf"), std::string::npos) << other_model;
  ChainModel words = saying("f");
  words.tokens[2].text = "v";
  words.next.pop_back();
  words.write(folder_.path("v.gguf"));
  const std::string other_words = message(folder_.path("v.gguf"));
  EXPECT_NE(other_words.find("vocabulary"), std::string::npos) << other_words;
  EXPECT_NE(message("/nowhere/fast.gguf").find("/nowhere/fast.gguf"), std::string::npos);
}

}  // namespace
}  // namespace sluice
