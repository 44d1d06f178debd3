#include "producer/api/submit_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice::producer {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Counts characters, holds 100 of them, and dislikes two system messages in a row.
class TinyModel final : public ServedModel {
 public:
  const std::string& revision() const override { return name_; }
  const std::string& name() const override { return name_; }
  std::int64_t context_tokens() const override { return 100; }
  Result<std::int64_t> count_prompt_tokens(const JobRequest& request) const override {
    ++measured;
    if (request.messages.empty()) return static_cast<std::int64_t>(request.prompt.size());
    std::int64_t count = 0;
    for (const RequestMessage& message : request.messages) {
      if (message.content == "refuse") return fail(ErrorCode::kInvalid, "is refused by the chat template");
      count += static_cast<std::int64_t>(message.content.size());
    }
    return count;
  }
  mutable int measured = 0;

 private:
  const std::string name_ = "tiny";
};

class SubmitRequest : public ::testing::Test {
 protected:
  SubmitRequest() {
    auto tiny = std::make_unique<TinyModel>();
    tiny_ = tiny.get();
    models_.add(std::move(tiny));
    echo_.add(make_echo_model());
  }

  JobSpec accept(const json& body) {
    auto parsed = parse_submit(body.dump(), models_);
    EXPECT_TRUE(parsed.has_value()) << (parsed ? "" : parsed.error().message);
    if (!parsed || parsed->jobs.empty()) return {};
    EXPECT_FALSE(parsed->is_batch);
    return parsed->jobs.front();
  }
  SubmitRefusal refuse(const std::string& body) {
    auto parsed = parse_submit(body, models_);
    EXPECT_FALSE(parsed.has_value()) << body;
    return parsed ? SubmitRefusal{} : std::move(parsed.error());
  }
  SubmitRefusal refuse(const json& body) { return refuse(body.dump()); }
  // "field: code" of every error.
  static std::vector<std::string> faults(const SubmitRefusal& refusal) {
    std::vector<std::string> out;
    for (const FieldError& error : refusal.errors.kept()) {
      out.push_back((error.index < 0 ? "" : std::to_string(error.index) + " ") + error.field + ": " +
                    error.code);
    }
    return out;
  }

  ModelCatalog models_;
  ModelCatalog echo_;
  TinyModel* tiny_ = nullptr;
};

TEST_F(SubmitRequest, ASingleJobOfMessagesMayBeATurnOfASession) {
  const json messages = {{{"role", "user"}, {"content", "hi"}}};
  EXPECT_EQ(accept({{"messages", messages}, {"session_id", "a.b"}}).session_id, "a.b");
  EXPECT_EQ(accept({{"messages", messages}, {"session_id", nullptr}}).session_id, "");
  EXPECT_THAT(faults(refuse(json{{"messages", messages}, {"session_id", "a b"}})),
              ElementsAre("session_id: invalid_value"));
  EXPECT_THAT(faults(refuse(json{{"prompt", "hi"}, {"session_id", "s"}})),
              ElementsAre("session_id: invalid_value"));
  EXPECT_THAT(faults(refuse(json{{"requests", {{{"messages", messages}, {"session_id", "s"}}}}})),
              ElementsAre("0 session_id: invalid_value"));
  EXPECT_THAT(faults(refuse(json{{"requests", {{{"messages", messages}}}}, {"session_id", "s"}})),
              ElementsAre("session_id: invalid_value"));
}

TEST_F(SubmitRequest, PromptGetsEveryDefault) {
  const JobSpec spec = accept({{"prompt", "2+2="}});
  EXPECT_EQ(spec.model->name(), "tiny");
  EXPECT_EQ(spec.request, (JobRequest{{}, "2+2=", false, [] {
                                        JobParameters p;
                                        p.max_tokens = 96;  // 256, capped by a context of 100.
                                        return p;
                                      }()}));
  EXPECT_EQ(spec.priority, Priority::kNormal);
  EXPECT_EQ(spec.expires_in_s, 3600);
  EXPECT_EQ(spec.prompt_tokens, 4);
  EXPECT_EQ(spec.tokens_max, 100);
  EXPECT_TRUE(spec.callback_url.empty());
  EXPECT_TRUE(spec.metadata_json.empty());
}

TEST_F(SubmitRequest, EverythingThatMayBeGivenIsTaken) {
  const JobSpec spec =
      accept({{"messages",
               {{{"role", "developer"}, {"content", "Be brief."}},
                {{"role", "user"},
                 {"content", {{{"type", "text"}, {"text", "Hi"}}, {{"type", "text"}, {"text", "you"}}}}},
                {{"role", "assistant"}, {"content", ""}}}},
              {"model", "tiny"},
              {"priority", "low"},
              {"callback_url", "https://example.com:8443/hook?x=1"},
              {"metadata", {{"k", "v"}, {"名", "值"}}},
              {"expires_in", 60},
              {"parameters",
               {{"max_tokens", 7},
                {"temperature", 1.5},
                {"top_p", 1},
                {"top_k", 40},
                {"min_p", 0.05},
                {"seed", -3},
                {"stop", {"\n", "END"}},
                {"presence_penalty", -2},
                {"frequency_penalty", 0.5},
                {"repetition_penalty", 1.1},
                {"logprobs", true},
                {"top_logprobs", 3},
                {"precision", "adaptive"}}}});
  EXPECT_THAT(spec.request.messages,
              ElementsAre(RequestMessage{"system", "Be brief."}, RequestMessage{"user", "Hi\nyou"},
                          RequestMessage{"assistant", ""}));
  JobParameters expected;
  expected.max_tokens = 7;
  expected.temperature = 1.5;
  expected.top_k = 40;
  expected.min_p = 0.05;
  expected.seed = -3;
  expected.stop = {"\n", "END"};
  expected.presence_penalty = -2;
  expected.frequency_penalty = 0.5;
  expected.repetition_penalty = 1.1;
  expected.logprobs = true;
  expected.top_logprobs = 3;
  expected.precision = RequestPrecision::kAdaptive;
  EXPECT_EQ(spec.request.parameters, expected);
  EXPECT_EQ(spec.priority, Priority::kLow);
  EXPECT_EQ(spec.callback_url, "https://example.com:8443/hook?x=1");
  EXPECT_EQ(json::parse(spec.metadata_json), (json{{"k", "v"}, {"名", "值"}}));
  EXPECT_EQ(spec.expires_in_s, 60);
}

TEST_F(SubmitRequest, NullCountsAsNotGiven) {
  const JobSpec spec =
      accept({{"prompt", "x"},
              {"messages", nullptr},
              {"raw", nullptr},
              {"model", nullptr},
              {"priority", nullptr},
              {"callback_url", nullptr},
              {"metadata", nullptr},
              {"expires_in", nullptr},
              {"parameters", {{"stop", nullptr}, {"seed", nullptr}, {"temperature", nullptr}}}});
  EXPECT_EQ(spec.request.prompt, "x");
  EXPECT_EQ(spec.expires_in_s, 3600);
}

TEST_F(SubmitRequest, StopMayBeOneString) {
  EXPECT_THAT(accept({{"prompt", "x"}, {"parameters", {{"stop", "END"}}}}).request.parameters.stop,
              ElementsAre("END"));
}

TEST_F(SubmitRequest, AnAnswerThatCantFitIsCappedByTheContext) {
  const JobSpec spec =
      accept({{"prompt", std::string(99, 'x')}, {"parameters", {{"max_tokens", 4'000'000'000'000}}}});
  EXPECT_EQ(spec.request.parameters.max_tokens, 1);
  EXPECT_EQ(spec.tokens_max, 100);
}

struct BadField {
  const char* name;
  const char* member;  // Beside "prompt".
  const char* fault;
};

class SubmitFields : public SubmitRequest, public ::testing::WithParamInterface<BadField> {};

TEST_P(SubmitFields, IsRefusedByName) {
  const SubmitRefusal refusal = refuse(std::string("{\"prompt\": \"x\", ") + GetParam().member + "}");
  EXPECT_THAT(faults(refusal), ElementsAre(GetParam().fault));
  const std::string field = std::string(GetParam().fault).substr(0, std::string(GetParam().fault).find(": "));
  EXPECT_EQ(refusal.param, field);
  EXPECT_THAT(refusal.message, HasSubstr(field));
}

INSTANTIATE_TEST_SUITE_P(
    All, SubmitFields,
    ::testing::Values(
        BadField{"UnknownField", R"("temprature": 1)", "temprature: unknown_field"},
        BadField{"UnknownParameter", R"("parameters": {"temp": 1})", "parameters.temp: unknown_field"},
        BadField{"ParametersType", R"("parameters": [])", "parameters: invalid_type"},
        BadField{"TemperatureHigh", R"("parameters": {"temperature": 2.01})",
                 "parameters.temperature: out_of_range"},
        BadField{"TemperatureLow", R"("parameters": {"temperature": -0.1})",
                 "parameters.temperature: out_of_range"},
        BadField{"TemperatureType", R"("parameters": {"temperature": "1"})",
                 "parameters.temperature: invalid_type"},
        BadField{"TemperatureBool", R"("parameters": {"temperature": true})",
                 "parameters.temperature: invalid_type"},
        BadField{"TopPZero", R"("parameters": {"top_p": 0})", "parameters.top_p: out_of_range"},
        BadField{"TopPHigh", R"("parameters": {"top_p": 1.1})", "parameters.top_p: out_of_range"},
        BadField{"TopKFraction", R"("parameters": {"top_k": 1.5})", "parameters.top_k: invalid_type"},
        BadField{"TopKNegative", R"("parameters": {"top_k": -1})", "parameters.top_k: out_of_range"},
        BadField{"MinPOne", R"("parameters": {"min_p": 1})", "parameters.min_p: out_of_range"},
        BadField{"LogprobsNumber", R"("parameters": {"logprobs": 1})", "parameters.logprobs: invalid_type"},
        BadField{"TopLogprobsMany", R"("parameters": {"logprobs": true, "top_logprobs": 21})",
                 "parameters.top_logprobs: out_of_range"},
        BadField{"TopLogprobsAlone", R"("parameters": {"top_logprobs": 2})",
                 "parameters.top_logprobs: invalid_value"},
        BadField{"PrecisionType", R"("parameters": {"precision": 4})", "parameters.precision: invalid_type"},
        BadField{"PrecisionValue", R"("parameters": {"precision": "Q4_0"})",
                 "parameters.precision: invalid_value"},
        BadField{"SeedFraction", R"("parameters": {"seed": 1.5})", "parameters.seed: invalid_type"},
        BadField{"SeedHuge", R"("parameters": {"seed": 9223372036854775808})",
                 "parameters.seed: out_of_range"},
        BadField{"MaxTokensZero", R"("parameters": {"max_tokens": 0})",
                 "parameters.max_tokens: out_of_range"},
        BadField{"MaxTokensBool", R"("parameters": {"max_tokens": true})",
                 "parameters.max_tokens: invalid_type"},
        BadField{"StopEmpty", R"("parameters": {"stop": ""})", "parameters.stop: invalid_value"},
        BadField{"StopFive", R"("parameters": {"stop": ["a","b","c","d","e"]})",
                 "parameters.stop: invalid_value"},
        BadField{"StopItem", R"("parameters": {"stop": ["a", 1]})", "parameters.stop[1]: invalid_type"},
        BadField{"StopType", R"("parameters": {"stop": 1})", "parameters.stop: invalid_type"},
        BadField{"Presence", R"("parameters": {"presence_penalty": 3})",
                 "parameters.presence_penalty: out_of_range"},
        BadField{"Frequency", R"("parameters": {"frequency_penalty": -3})",
                 "parameters.frequency_penalty: out_of_range"},
        BadField{"Repetition", R"("parameters": {"repetition_penalty": 0})",
                 "parameters.repetition_penalty: out_of_range"},
        BadField{"FaultElsewhere", R"("parameters": {"fault": "crash"})",
                 "parameters.fault: unsupported_parameter"},
        BadField{"FaultMsElsewhere", R"("parameters": {"fault_ms": 5})",
                 "parameters.fault_ms: unsupported_parameter"},
        BadField{"PriorityValue", R"("priority": "urgent")", "priority: invalid_value"},
        BadField{"PriorityType", R"("priority": 1)", "priority: invalid_type"},
        BadField{"ExpiresZero", R"("expires_in": 0)", "expires_in: out_of_range"},
        BadField{"ExpiresLong", R"("expires_in": 604801)", "expires_in: out_of_range"},
        BadField{"ExpiresText", R"("expires_in": "60")", "expires_in: invalid_type"},
        BadField{"CallbackType", R"("callback_url": 7)", "callback_url: invalid_type"},
        BadField{"CallbackRelative", R"("callback_url": "/hook")", "callback_url: invalid_value"},
        BadField{"MetadataType", R"("metadata": "x")", "metadata: invalid_type"},
        BadField{"MetadataValue", R"("metadata": {"a": 1})", "metadata.a: invalid_type"},
        BadField{"MetadataKeyEmpty", R"("metadata": {"": "v"})", "metadata: out_of_range"},
        BadField{"ModelType", R"("model": 5)", "model: invalid_type"},
        BadField{"RawType", R"("raw": "yes")", "raw: invalid_type"},
        BadField{"BothInputs", R"("messages": [{"role": "user", "content": "x"}])", "prompt: invalid_value"}),
    [](const auto& info) { return info.param.name; });

struct BadInput {
  const char* name;
  const char* body;
  const char* fault;
};

class SubmitInput : public SubmitRequest, public ::testing::WithParamInterface<BadInput> {};

TEST_P(SubmitInput, IsRefusedByName) {
  EXPECT_THAT(faults(refuse(std::string(GetParam().body))), ElementsAre(GetParam().fault));
}

INSTANTIATE_TEST_SUITE_P(
    All, SubmitInput,
    ::testing::Values(
        BadInput{"Nothing", "{}", "messages: missing_field"},
        BadInput{"PromptType", R"({"prompt": 1})", "prompt: invalid_type"},
        BadInput{"PromptEmpty", R"({"prompt": ""})", "prompt: invalid_value"},
        BadInput{"MessagesType", R"({"messages": "x"})", "messages: invalid_type"},
        BadInput{"MessagesEmpty", R"({"messages": []})", "messages: out_of_range"},
        BadInput{"MessageType", R"({"messages": ["x"]})", "messages[0]: invalid_type"},
        BadInput{"RoleMissing", R"({"messages": [{"content": "x"}]})", "messages[0].role: missing_field"},
        BadInput{"RoleValue", R"({"messages": [{"role": "tool", "content": "x"}]})",
                 "messages[0].role: invalid_value"},
        BadInput{"ContentMissing", R"({"messages": [{"role": "user"}]})",
                 "messages[0].content: missing_field"},
        BadInput{"ContentNull", R"({"messages": [{"role": "user", "content": null}]})",
                 "messages[0].content: invalid_type"},
        BadInput{"PartType", R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})",
                 "messages[0].content[0]: invalid_value"},
        BadInput{"MessageField", R"({"messages": [{"role": "user", "content": "x", "nam": "y"}]})",
                 "messages[0].nam: unknown_field"},
        BadInput{"RawMessages", R"({"messages": [{"role": "user", "content": "x"}], "raw": true})",
                 "raw: invalid_value"},
        BadInput{"Template", R"({"messages": [{"role": "user", "content": "refuse"}]})",
                 "messages: invalid_value"}),
    [](const auto& info) { return info.param.name; });

TEST_F(SubmitRequest, AllErrorsComeAtOnce) {
  const SubmitRefusal refusal = refuse({{"prompt", 5},
                                        {"priority", "x"},
                                        {"expires_in", 0},
                                        {"parameters", {{"temperature", 9}, {"top_p", 9}}},
                                        {"extra", 1}});
  EXPECT_EQ(refusal.status, 400);
  EXPECT_THAT(faults(refusal), ::testing::UnorderedElementsAre(
                                   "prompt: invalid_type", "priority: invalid_value",
                                   "expires_in: out_of_range", "extra: unknown_field",
                                   "parameters.temperature: out_of_range", "parameters.top_p: out_of_range"));
  EXPECT_EQ(tiny_->measured, 0);  // Nothing is tokenized for a request that is refused anyway.
}

TEST_F(SubmitRequest, UnknownModelIs404) {
  const SubmitRefusal refusal = refuse({{"prompt", "x"}, {"model", "nope"}});
  EXPECT_EQ(refusal.status, 404);
  EXPECT_EQ(refusal.code, "model_not_found");
  EXPECT_EQ(refusal.param, "model");
}

TEST_F(SubmitRequest, UnknownModelAmongOtherErrorsIs400) {
  EXPECT_EQ(refuse({{"prompt", "x"}, {"model", "nope"}, {"expires_in", 0}}).status, 400);
}

TEST_F(SubmitRequest, TooLongPromptsNameTheirField) {
  const SubmitRefusal prompt = refuse({{"prompt", std::string(100, 'x')}});
  EXPECT_EQ(prompt.status, 400);
  EXPECT_EQ(prompt.code, "context_length_exceeded");
  EXPECT_EQ(prompt.param, "prompt");
  const SubmitRefusal messages =
      refuse({{"messages", {{{"role", "user"}, {"content", std::string(101, 'x')}}}}});
  EXPECT_EQ(messages.param, "messages");
  EXPECT_THAT(messages.message, HasSubstr("101"));
}

TEST_F(SubmitRequest, NotJsonAndNotAnObject) {
  for (const char* body : {"", "{", "{\"prompt\": \"x\"} x", "\xff", "{\"prompt\": \"\xc3\x28\"}"}) {
    EXPECT_EQ(refuse(std::string(body)).code, "invalid_json") << body;
  }
  EXPECT_EQ(refuse(std::string("[1]")).code, "invalid_type");
  EXPECT_EQ(refuse(std::string("null")).code, "invalid_type");
  EXPECT_EQ(refuse(std::string(100'000, '[')).code, "invalid_json");
}

TEST_F(SubmitRequest, MetadataHasLimits) {
  json many = json::object();
  for (int i = 0; i < 17; ++i) many["k" + std::to_string(i)] = "v";
  EXPECT_THAT(faults(refuse({{"prompt", "x"}, {"metadata", many}})), ElementsAre("metadata: out_of_range"));
  many.erase("k16");
  accept({{"prompt", "x"}, {"metadata", many}});
  std::string longest;
  for (int i = 0; i < 512; ++i) longest += "é";  // Characters count, not bytes.
  accept({{"prompt", "x"}, {"metadata", {{std::string(64, 'k'), longest}}}});
  EXPECT_THAT(faults(refuse({{"prompt", "x"}, {"metadata", {{"k", longest + "e"}}}})),
              ElementsAre("metadata.k: out_of_range"));
  EXPECT_THAT(faults(refuse({{"prompt", "x"}, {"metadata", {{std::string(65, 'k'), "v"}}}})),
              ElementsAre("metadata: out_of_range"));
}

TEST_F(SubmitRequest, LongNamesAreCutInErrors) {
  std::string name;
  for (int i = 0; i < 200; ++i) name += "é";
  const SubmitRefusal refusal = refuse({{"prompt", "x"}, {name, 1}});
  EXPECT_LE(refusal.param.size(), 70U);
  EXPECT_NO_THROW((void)json(refusal.param).dump());  // Not cut inside a character.
}

TEST_F(SubmitRequest, FaultsGoWithTheEchoEngine) {
  const auto parsed = parse_submit(
      R"({"prompt": "a b", "parameters": {"fault": "transient", "fault_attempts": 2, "fault_ms": 50}})",
      echo_);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->jobs[0].request.parameters.fault, (RequestFault{RequestFaultKind::kTransient, 2, 50}));
  EXPECT_EQ(parsed->jobs[0].prompt_tokens, 2);
  const auto alone = parse_submit(R"({"prompt": "a", "parameters": {"fault_ms": 50}})", echo_);
  ASSERT_FALSE(alone.has_value());
  EXPECT_EQ(alone.error().param, "parameters.fault_ms");
  const auto odd = parse_submit(R"({"prompt": "a", "parameters": {"fault": "no", "fault_ms": 5}})", echo_);
  ASSERT_FALSE(odd.has_value());
  EXPECT_THAT(faults(odd.error()), ElementsAre("parameters.fault: invalid_value"));
}

TEST_F(SubmitRequest, ParametersAreCheckedOnceDefaultsAndOwnAreTogether) {
  const json shared = {{"top_logprobs", 3}};
  const json good = {{"parameters", shared},
                     {"requests", {{{"prompt", "a"}, {"parameters", {{"logprobs", true}}}}}}};
  const auto parsed = parse_submit(good.dump(), models_);
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  EXPECT_EQ(parsed->jobs[0].request.parameters.top_logprobs, 3);
  EXPECT_TRUE(parsed->jobs[0].request.parameters.logprobs);
  const json bad = {{"parameters", shared}, {"requests", {{{"prompt", "a"}}}}};
  EXPECT_FALSE(parse_submit(bad.dump(), models_).has_value());
}

TEST_F(SubmitRequest, BatchItemsTakeDefaultsFromBeside) {
  const json body = {{"requests",
                      {{{"prompt", "a"}},
                       {{"prompt", "b"},
                        {"priority", "high"},
                        {"metadata", {{"own", "1"}}},
                        {"parameters", {{"temperature", 1}}}}}},
                     {"priority", "low"},
                     {"expires_in", 99},
                     {"callback_url", "http://h/x"},
                     {"metadata", {{"shared", "1"}}},
                     {"model", "tiny"},
                     {"parameters", {{"temperature", 0.5}, {"max_tokens", 3}}}};
  const auto parsed = parse_submit(body.dump(), models_);
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  EXPECT_TRUE(parsed->is_batch);
  ASSERT_EQ(parsed->jobs.size(), 2U);
  EXPECT_EQ(parsed->jobs[0].priority, Priority::kLow);
  EXPECT_EQ(parsed->jobs[0].request.parameters.temperature, 0.5);
  EXPECT_EQ(parsed->jobs[0].metadata_json, R"({"shared":"1"})");
  EXPECT_EQ(parsed->jobs[1].priority, Priority::kHigh);
  EXPECT_EQ(parsed->jobs[1].request.parameters.temperature, 1);
  EXPECT_EQ(parsed->jobs[1].request.parameters.max_tokens, 3);
  EXPECT_EQ(parsed->jobs[1].metadata_json, R"({"own":"1"})");
  EXPECT_EQ(parsed->jobs[1].expires_in_s, 99);
  EXPECT_EQ(parsed->jobs[1].callback_url, "http://h/x");
}

TEST_F(SubmitRequest, BatchErrorsNameTheirItems) {
  const SubmitRefusal refusal = refuse({{"requests",
                                         {{{"prompt", "ok"}},
                                          {{"prompt", 5}},
                                          "x",
                                          {{"prompt", "ok"}, {"model", "nope"}},
                                          {{"prompt", std::string(100, 'x')}},
                                          {{"requests", json::array()}, {"prompt", "y"}}}},
                                        {"prompt", "beside"}});
  EXPECT_TRUE(refusal.is_batch);
  EXPECT_EQ(refusal.status, 400);
  EXPECT_THAT(faults(refusal), ElementsAre("prompt: unknown_field", "1 prompt: invalid_type",
                                           "2 : invalid_type", "3 model: model_not_found",
                                           "4 prompt: context_length_exceeded", "5 requests: unknown_field"));
}

TEST_F(SubmitRequest, AnUnknownModelBesideRequestsIsOneError) {
  EXPECT_THAT(faults(refuse({{"requests", {{{"prompt", "a"}}, {{"prompt", "b"}}}}, {"model", "nope"}})),
              ElementsAre("model: model_not_found"));
}

TEST_F(SubmitRequest, BatchSizeHasLimits) {
  EXPECT_EQ(refuse({{"requests", json::array()}}).status, 400);
  EXPECT_EQ(refuse({{"requests", "x"}}).param, "requests");
  json items = json::array();
  for (int i = 0; i < 10'000; ++i) items.push_back({{"prompt", "x"}});
  const auto full = parse_submit(json{{"requests", items}}.dump(), models_);
  ASSERT_TRUE(full.has_value());
  EXPECT_EQ(full->jobs.size(), 10'000U);
  items.push_back({{"prompt", "x"}});
  const SubmitRefusal refusal = refuse({{"requests", items}});
  EXPECT_EQ(refusal.status, 413);
  EXPECT_THAT(refusal.message, HasSubstr("10001"));
}

TEST_F(SubmitRequest, TheListOfErrorsIsBoundedAndTheirNumberTold) {
  json items = json::array();
  for (int i = 0; i < 500; ++i) items.push_back({{"prompt", 1}});
  items.push_back({{"prompt", "would be measured"}});
  const SubmitRefusal refusal = refuse({{"requests", items}});
  EXPECT_EQ(refusal.errors.kept().size(), 100U);
  EXPECT_EQ(refusal.errors.left_out(), 400U);
  EXPECT_EQ(tiny_->measured, 0);
}

TEST_F(SubmitRequest, OfKeysThatComeTwiceTheLastCounts) {
  const auto parsed = parse_submit(R"({"prompt": "a", "prompt": "b"})", models_);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->jobs[0].request.prompt, "b");
}

}  // namespace
}  // namespace sluice::producer
