// What engine.h promises, for every engine.
#include <gtest/gtest.h>

#include <algorithm>

#include "common/base/clock.h"
#include "common/base/rng.h"
#include "tests/unit/worker/engine/run_engine.h"
#include "worker/engine/echo_engine.h"
#include "worker/engine/native_engine.h"

namespace sluice {
namespace {

using testengine::chat;
using testengine::run_all;
using testengine::run_one;

constexpr std::size_t kSequences = 4;
constexpr std::size_t kContext = 256;
constexpr std::size_t kRoom = 512;

struct Echo {
  SystemClock clock;
  EchoEngine engine{clock, {.sequences_max = kSequences, .context_tokens = kContext, .kv_tokens_max = kRoom}};
};

struct Native {
  SeededRng rng{1};
  std::unique_ptr<NativeEngine> owned = make(rng);
  NativeEngine& engine = *owned;

  static std::unique_ptr<NativeEngine> make(Rng& rng) {
    NativeEngineConfig config;
    config.model.path = testengine::kTinyModel;
    config.model.threads = 2;
    config.sequences_max = kSequences;
    config.context_tokens_max = kContext;
    config.kv_memory_bytes = kRoom * 8 * 2 * 2 * 64 * sizeof(std::uint16_t);
    auto engine = NativeEngine::open(config, rng);
    EXPECT_TRUE(engine.has_value()) << (engine ? "" : engine.error().message);
    return std::move(*engine);
  }
};

template <class T>
class EngineContract : public ::testing::Test {
 protected:
  Engine& engine() { return holder_.engine; }
  T holder_;
};

using Engines = ::testing::Types<Echo, Native>;
TYPED_TEST_SUITE(EngineContract, Engines);

TYPED_TEST(EngineContract, InfoSaysItsLimits) {
  const EngineInfo& info = this->engine().info();
  EXPECT_FALSE(info.engine.empty());
  EXPECT_FALSE(info.version.empty());
  EXPECT_FALSE(info.model.empty());
  EXPECT_EQ(info.context_tokens, kContext);
  EXPECT_EQ(info.sequences_max, kSequences);
  EXPECT_EQ(info.kv_tokens_max, kRoom);
}

TYPED_TEST(EngineContract, AnswersAndIsEmptyAgain) {
  Engine& engine = this->engine();
  const Generation generation = run_one(engine, chat(engine, "a", "Define river."));
  EXPECT_FALSE(generation.text.empty());
  EXPECT_EQ(generation.finish_reason, FinishReason::kStop);
  EXPECT_GT(generation.usage.prompt_tokens, 0U);
  EXPECT_GT(generation.usage.completion_tokens, 0U);
  EXPECT_EQ(generation.usage.total(), generation.usage.prompt_tokens + generation.usage.completion_tokens);
  EXPECT_EQ(engine.active(), 0U);
  EXPECT_EQ(engine.load().sequences_free, kSequences);
  EXPECT_EQ(engine.load().kv_tokens_free, kRoom);
}

TYPED_TEST(EngineContract, AStepWithNothingActiveReturnsAtOnce) {
  EXPECT_TRUE(this->engine().step(std::chrono::hours(1)).empty());
}

TYPED_TEST(EngineContract, TheFifthRequestFindsNoRoomAndIsLeftAsItWas) {
  Engine& engine = this->engine();
  SamplingParams params;
  params.max_tokens = 20;
  for (std::size_t i = 0; i < kSequences; ++i) {
    ASSERT_TRUE(engine.add(chat(engine, std::to_string(i), "Hello!", params)).has_value());
  }
  EXPECT_EQ(engine.active(), kSequences);
  EXPECT_EQ(engine.load().sequences_free, 0U);
  GenerationRequest fifth = chat(engine, "fifth", "What is 1 + 1?", params);
  const Prompt prompt = fifth.prompt;
  const Status refused = engine.add(std::move(fifth));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kExhausted);
  // NOLINTNEXTLINE(bugprone-use-after-move): a refused request is left as it was.
  EXPECT_EQ(fifth.key, "fifth");
  EXPECT_EQ(fifth.prompt.ids, prompt.ids);
  EXPECT_EQ(fifth.prompt.text, prompt.text);
  EXPECT_EQ(fifth.params.max_tokens, 20);
  EXPECT_EQ(run_all(engine).size(), kSequences);
  EXPECT_TRUE(engine.add(std::move(fifth)).has_value());
  EXPECT_TRUE(run_all(engine).at("fifth").outcome.has_value());
}

TYPED_TEST(EngineContract, TokensAreBoundedTooAndReservedAsAnnounced) {
  Engine& engine = this->engine();
  SamplingParams params;
  params.max_tokens = 180;
  const GenerationRequest first = chat(engine, "a", "Hello!", params);
  const std::size_t needed = engine.kv_tokens_needed(first.prompt, params);
  EXPECT_GE(needed, first.prompt.tokens + 180);
  ASSERT_TRUE(engine.add(chat(engine, "a", "Hello!", params)).has_value());
  EXPECT_EQ(engine.load().kv_tokens_free, kRoom - needed);
  ASSERT_TRUE(engine.add(chat(engine, "b", "Hello!", params)).has_value());
  EXPECT_EQ(engine.load().kv_tokens_free, kRoom - 2 * needed);
  const Status refused = engine.add(chat(engine, "c", "Hello!", params));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kExhausted);
  EXPECT_EQ(run_all(engine).size(), 2U);
  EXPECT_EQ(engine.load().kv_tokens_free, kRoom);
}

TYPED_TEST(EngineContract, ReservationIsCappedByTheContext) {
  Engine& engine = this->engine();
  SamplingParams params;
  params.max_tokens = 1'000'000'000;
  EXPECT_EQ(engine.kv_tokens_needed(chat(engine, "a", "Hello!", params).prompt, params), kContext);
}

TYPED_TEST(EngineContract, AKeyIsUniqueAmongTheActive) {
  Engine& engine = this->engine();
  ASSERT_TRUE(engine.add(chat(engine, "a", "Hello!")).has_value());
  const Status refused = engine.add(chat(engine, "a", "Hello!"));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  run_all(engine);
  EXPECT_TRUE(engine.add(chat(engine, "a", "Hello!")).has_value());
  run_all(engine);
}

TYPED_TEST(EngineContract, APromptThatFillsTheContextIsRefusedForGood) {
  Engine& engine = this->engine();
  std::string text = "word";
  for (std::size_t i = 1; i < kContext; ++i) text += " word";
  PromptInput input;
  input.messages = {{"user", text}};
  const auto prepared = engine.prepare(input);
  ASSERT_FALSE(prepared.has_value());
  EXPECT_EQ(prepared.error().code, ErrorCode::kInvalid);
  EXPECT_NE(prepared.error().message.find(std::to_string(kContext)), std::string::npos);

  GenerationRequest request;
  request.key = "long";
  request.prompt.ids.assign(kContext, 3);
  request.prompt.text = text;
  request.prompt.tokens = kContext;
  const Status refused = engine.add(std::move(request));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
  EXPECT_EQ(engine.active(), 0U);
}

TYPED_TEST(EngineContract, ParametersOutOfRangeAreRefused) {
  Engine& engine = this->engine();
  SamplingParams params;
  params.top_p = 0.0F;
  const Status refused = engine.add(chat(engine, "a", "Hello!", params));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
}

TYPED_TEST(EngineContract, ACancelledRequestEndsInTheNextStepAndFreesItsPlace) {
  Engine& engine = this->engine();
  ASSERT_TRUE(engine.add(chat(engine, "a", "Who are you?")).has_value());
  ASSERT_TRUE(engine.add(chat(engine, "b", "Define river.")).has_value());
  engine.cancel("a");
  engine.cancel("nobody");
  bool found = false;
  for (const StepEvent& event : engine.step(Duration::zero())) {
    if (event.key != "a") continue;
    found = true;
    ASSERT_TRUE(event.done.has_value());
    ASSERT_TRUE(event.done->has_value());
    EXPECT_EQ((*event.done)->finish_reason, FinishReason::kCancelled);
    EXPECT_TRUE((*event.done)->text.empty());
    EXPECT_GT((*event.done)->usage.prompt_tokens, 0U);
  }
  EXPECT_TRUE(found);
  const auto rest = run_all(engine);
  EXPECT_FALSE(rest.contains("a"));
  EXPECT_EQ(engine.load().kv_tokens_free, kRoom);
}

TYPED_TEST(EngineContract, EventsComeInTheOrderOfAdding) {
  Engine& engine = this->engine();
  SamplingParams params;
  params.max_tokens = 1;
  for (const char* key : {"z", "a", "m"})
    ASSERT_TRUE(engine.add(chat(engine, key, "Hello!", params)).has_value());
  std::vector<std::string> order;
  run_all(engine, &order);
  EXPECT_EQ(order, (std::vector<std::string>{"z", "a", "m"}));
}

TYPED_TEST(EngineContract, MaxTokensZeroAndOne) {
  Engine& engine = this->engine();
  SamplingParams params;
  params.max_tokens = 0;
  Generation generation = run_one(engine, chat(engine, "a", "Say two words.", params));
  EXPECT_EQ(generation.text, "");
  EXPECT_EQ(generation.finish_reason, FinishReason::kLength);
  EXPECT_EQ(generation.usage.completion_tokens, 0U);
  params.max_tokens = 1;
  generation = run_one(engine, chat(engine, "a", "Say two words.", params));
  EXPECT_EQ(generation.finish_reason, FinishReason::kLength);
  EXPECT_EQ(generation.usage.completion_tokens, 1U);
}

TYPED_TEST(EngineContract, DestroyingItInMidWorkIsFine) {
  Engine& engine = this->engine();
  ASSERT_TRUE(engine.add(chat(engine, "a", "Who are you?")).has_value());
}

}  // namespace
}  // namespace sluice
