#include "producer/openai/completion_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice::producer {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

class CompletionRequestTest : public ::testing::Test {
 protected:
  CompletionRequestTest() { models_.add(make_echo_model()); }

  CompletionRequest accept(Surface surface, const json& body, const FindConversation& find = {}) {
    auto parsed = parse_completion(surface, body, models_, find);
    EXPECT_TRUE(parsed.has_value()) << body << (parsed ? "" : parsed.error().message);
    return parsed ? std::move(*parsed) : CompletionRequest{};
  }
  // "param: code" of what a body is refused for first.
  std::string refuse(Surface surface, const json& body, const FindConversation& find = {}) {
    const auto parsed = parse_completion(surface, body, models_, find);
    if (parsed) return "accepted";
    EXPECT_EQ(parsed.error().status, parsed.error().code.ends_with("_not_found") ? 404 : 400);
    return parsed.error().param + ": " + parsed.error().code;
  }
  static json chat(json more = json::object()) {
    json body = {{"model", "echo"}, {"messages", {{{"role", "user"}, {"content", "one two"}}}}};
    body.update(more);
    return body;
  }

  ModelCatalog models_;
};

TEST_F(CompletionRequestTest, AChatHasOpenAisDefaults) {
  const CompletionRequest request = accept(Surface::kChat, chat());
  EXPECT_EQ(request.spec.surface, Surface::kChat);
  EXPECT_EQ(request.spec.model->name(), "echo");
  EXPECT_THAT(request.spec.request.messages, ElementsAre(RequestMessage{"user", "one two"}));
  EXPECT_EQ(request.spec.request.parameters.temperature, 1);
  EXPECT_EQ(request.spec.request.parameters.max_tokens, 256);
  EXPECT_EQ(request.spec.prompt_tokens, 2);
  EXPECT_FALSE(request.stream);
}

TEST_F(CompletionRequestTest, AChatTakesWhatClientsSend) {
  const CompletionRequest request = accept(Surface::kChat, json::parse(R"({
    "model": "echo", "n": 1, "stream": true, "stream_options": {"include_usage": true},
    "messages": [
      {"role": "developer", "content": "Be brief.", "name": "boss"},
      {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
      {"role": "assistant", "content": null, "refusal": "No.", "tool_calls": [], "audio": null},
      {"role": "user", "content": "three"}],
    "max_tokens": 9, "max_completion_tokens": 7, "temperature": 0.5, "top_p": 0, "seed": -3, "stop": "x",
    "presence_penalty": 0.1, "frequency_penalty": -0.1, "logprobs": true, "top_logprobs": 2,
    "top_k": -1, "min_p": 0.1, "repetition_penalty": 1.1, "priority": "high", "expires_in": 60,
    "metadata": {"order": "1"}, "response_format": {"type": "text"}, "tools": [], "tool_choice": "none",
    "logit_bias": {}, "parallel_tool_calls": false, "store": true, "service_tier": "auto", "user": "me",
    "modalities": ["text"], "reasoning_effort": "low", "cache": false, "allow_stale": true,
    "something_new": {"a": 1}})"));
  EXPECT_EQ(request.spec.cache, false);
  EXPECT_TRUE(request.spec.allow_stale);
  const JobParameters& p = request.spec.request.parameters;
  EXPECT_THAT(request.spec.request.messages,
              ElementsAre(RequestMessage{"system", "Be brief."}, RequestMessage{"user", "one\ntwo"},
                          RequestMessage{"assistant", "No."}, RequestMessage{"user", "three"}));
  EXPECT_EQ(p.max_tokens, 7);
  EXPECT_EQ(p.temperature, 0.5);
  EXPECT_GT(p.top_p, 0);
  EXPECT_LT(p.top_p, 0.001);
  EXPECT_EQ(p.seed, -3);
  EXPECT_THAT(p.stop, ElementsAre("x"));
  EXPECT_EQ(p.top_k, 0);
  EXPECT_TRUE(p.logprobs);
  EXPECT_EQ(p.top_logprobs, 2);
  EXPECT_EQ(request.spec.priority, Priority::kHigh);
  EXPECT_EQ(request.spec.expires_in_s, 60);
  EXPECT_EQ(request.spec.metadata_json, R"({"order":"1"})");
  EXPECT_TRUE(request.stream);
  EXPECT_TRUE(request.include_usage);
}

TEST_F(CompletionRequestTest, WhatCantBeDoneIsRefusedByName) {
  const auto refused = [this](json more) { return refuse(Surface::kChat, chat(std::move(more))); };
  EXPECT_EQ(refused({{"n", 2}}), "n: unsupported_parameter");
  EXPECT_EQ(refused({{"n", "1"}}), "n: invalid_type");
  EXPECT_EQ(refused({{"tools", {{{"type", "function"}}}}}), "tools: unsupported_parameter");
  EXPECT_EQ(refused({{"functions", {1}}}), "functions: unsupported_parameter");
  EXPECT_EQ(refused({{"tool_choice", "required"}}), "tool_choice: unsupported_parameter");
  EXPECT_EQ(refused({{"modalities", {"text", "audio"}}}), "modalities: unsupported_parameter");
  EXPECT_EQ(refused({{"audio", {{"voice", "x"}}}}), "audio: unsupported_parameter");
  EXPECT_EQ(refused({{"logit_bias", {{"50256", -100}}}}), "logit_bias: unsupported_parameter");
  EXPECT_EQ(refused({{"response_format", {{"type", "json_object"}}}}),
            "response_format.type: unsupported_parameter");
  EXPECT_EQ(refused({{"temperature", "hot"}}), "temperature: invalid_type");
  EXPECT_EQ(refused({{"temperature", 2.5}}), "temperature: out_of_range");
  EXPECT_EQ(refused({{"max_completion_tokens", 0}}), "max_completion_tokens: out_of_range");
  EXPECT_EQ(refused({{"stop", {1}}}), "stop[0]: invalid_type");
  EXPECT_EQ(refused({{"stream", "yes"}}), "stream: invalid_type");
  EXPECT_EQ(refused({{"stream_options", {{"include_usage", 1}}}}),
            "stream_options.include_usage: invalid_type");
  EXPECT_EQ(refused({{"top_logprobs", 3}}), "top_logprobs: invalid_value");
  EXPECT_EQ(refused({{"model", "gpt-9"}}), "model: model_not_found");
  EXPECT_EQ(refused({{"cache", 1}}), "cache: invalid_type");
  EXPECT_EQ(refused({{"messages", json::array()}}), "messages: out_of_range");
  EXPECT_EQ(refused({{"messages", nullptr}}), "messages: missing_field");
  EXPECT_EQ(refuse(Surface::kChat, json::array()), ": invalid_type");
}

TEST_F(CompletionRequestTest, AChatMayBeATurnOfASession) {
  EXPECT_EQ(accept(Surface::kChat, chat({{"session_id", "my.chat_1-a"}})).spec.session_id, "my.chat_1-a");
  EXPECT_EQ(accept(Surface::kChat, chat({{"session_id", std::string(64, 'x')}})).spec.session_id.size(), 64U);
  EXPECT_EQ(accept(Surface::kChat, chat({{"session_id", nullptr}})).spec.session_id, "");
  const auto refused = [this](json more) { return refuse(Surface::kChat, chat(std::move(more))); };
  for (const char* bad : {"", "a b", "a/b", "é"}) {
    EXPECT_EQ(refused({{"session_id", bad}}), "session_id: invalid_value") << bad;
  }
  EXPECT_EQ(refused({{"session_id", std::string(65, 'x')}}), "session_id: invalid_value");
  EXPECT_EQ(refused({{"session_id", 7}}), "session_id: invalid_type");
  EXPECT_EQ(refused({{"session_id", "s"}, {"previous_response_id", "resp_1"}}), "session_id: invalid_value");
  EXPECT_EQ(refuse(Surface::kCompletion, {{"prompt", "x"}, {"session_id", "s"}}),
            "session_id: unsupported_parameter");
  EXPECT_EQ(refuse(Surface::kResponse, {{"input", "x"}, {"session_id", "s"}}),
            "session_id: unsupported_parameter");
}

TEST_F(CompletionRequestTest, AClientMayTakeItsJobWithIt) {
  EXPECT_FALSE(accept(Surface::kChat, chat()).cancel_on_disconnect);
  const json yes = {{"cancel_on_disconnect", true}};
  EXPECT_TRUE(accept(Surface::kChat, chat(yes)).cancel_on_disconnect);
  json body = {{"prompt", "x"}, {"input", "x"}};
  body.update(yes);
  EXPECT_TRUE(accept(Surface::kCompletion, body).cancel_on_disconnect);
  body.erase("prompt");
  EXPECT_TRUE(accept(Surface::kResponse, body).cancel_on_disconnect);
  EXPECT_EQ(refuse(Surface::kChat, chat({{"cancel_on_disconnect", 1}})),
            "cancel_on_disconnect: invalid_type");
  body["background"] = true;
  EXPECT_EQ(refuse(Surface::kResponse, body), "cancel_on_disconnect: invalid_value");
}

TEST_F(CompletionRequestTest, MessagesAreRefusedWhereTheyAreWrong) {
  const auto refused = [this](const char* message) {
    return refuse(Surface::kChat, {{"messages", {json::parse(message)}}});
  };
  EXPECT_EQ(refused(R"({"role": "tool", "content": "x", "tool_call_id": "1"})"),
            "messages[0].role: unsupported_parameter");
  EXPECT_EQ(refused(R"({"role": "king", "content": "x"})"), "messages[0].role: invalid_value");
  EXPECT_EQ(refused(R"({"content": "x"})"), "messages[0].role: missing_field");
  EXPECT_EQ(refused(R"({"role": "user"})"), "messages[0].content: missing_field");
  EXPECT_EQ(refused(R"({"role": "user", "content": null})"), "messages[0].content: invalid_type");
  EXPECT_EQ(refused(R"({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]})"),
            "messages[0].content[0].type: unsupported_parameter");
  EXPECT_EQ(refused(R"({"role": "user", "content": [{"type": "text"}]})"),
            "messages[0].content[0].text: missing_field");
  EXPECT_EQ(refused(R"({"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]})"),
            "messages[0].tool_calls: unsupported_parameter");
  EXPECT_EQ(refused(R"("hello")"), "messages[0]: invalid_type");
}

TEST_F(CompletionRequestTest, ACompletionsPromptGoesInBare) {
  const CompletionRequest request = accept(Surface::kCompletion, {{"prompt", {"one two"}},
                                                                  {"best_of", 1},
                                                                  {"echo", false},
                                                                  {"suffix", ""},
                                                                  {"logprobs", 0},
                                                                  {"max_tokens", 16}});
  EXPECT_EQ(request.spec.request.prompt, "one two");
  EXPECT_TRUE(request.spec.request.raw);
  EXPECT_TRUE(request.spec.request.parameters.logprobs);
  EXPECT_EQ(request.spec.request.parameters.top_logprobs, 0);
  EXPECT_EQ(request.spec.request.parameters.max_tokens, 16);
  const auto refused = [this](json more) {
    json body = {{"prompt", "x"}};
    body.update(more);
    return refuse(Surface::kCompletion, body);
  };
  EXPECT_EQ(refused({{"prompt", {"a", "b"}}}), "prompt: unsupported_parameter");
  EXPECT_EQ(refused({{"prompt", {1, 2}}}), "prompt: unsupported_parameter");
  EXPECT_EQ(refused({{"prompt", 7}}), "prompt: invalid_type");
  EXPECT_EQ(refused({{"prompt", ""}}), "prompt: invalid_value");
  EXPECT_EQ(refused({{"best_of", 3}}), "best_of: unsupported_parameter");
  EXPECT_EQ(refused({{"echo", true}}), "echo: unsupported_parameter");
  EXPECT_EQ(refused({{"suffix", "end"}}), "suffix: unsupported_parameter");
  EXPECT_EQ(refused({{"logprobs", true}}), "logprobs: invalid_type");
}

TEST_F(CompletionRequestTest, AResponseTakesTextAndItems) {
  const CompletionRequest plain = accept(Surface::kResponse, {{"input", "one two"},
                                                              {"instructions", "Be brief."},
                                                              {"max_output_tokens", 32},
                                                              {"background", true},
                                                              {"user", "me"}});
  EXPECT_TRUE(plain.background);
  EXPECT_THAT(plain.spec.request.messages,
              ElementsAre(RequestMessage{"system", "Be brief."}, RequestMessage{"user", "one two"}));
  EXPECT_EQ(plain.spec.request.parameters.max_tokens, 32);
  EXPECT_EQ(json::parse(plain.spec.request.echo_json),
            json::parse(R"({"background": true, "store": true, "instructions": "Be brief.",
                            "max_output_tokens": 32, "user": "me"})"));
  const CompletionRequest items = accept(Surface::kResponse, json::parse(R"({"input": [
    {"role": "user", "content": "one"},
    {"type": "reasoning", "id": "rs_1", "summary": []},
    {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
     "content": [{"type": "output_text", "text": "two", "annotations": []}]},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "three"}]}],
    "text": {"format": {"type": "text"}, "verbosity": "low"}, "truncation": "auto", "include": []})"));
  EXPECT_THAT(items.spec.request.messages,
              ElementsAre(RequestMessage{"user", "one"}, RequestMessage{"assistant", "two"},
                          RequestMessage{"user", "three"}));
  const auto refused = [this](json body) { return refuse(Surface::kResponse, body); };
  EXPECT_EQ(refused(json::object()), "input: missing_field");
  EXPECT_EQ(refused({{"input", "x"}, {"text", {{"format", {{"type", "json_schema"}}}}}}),
            "text.format.type: unsupported_parameter");
  EXPECT_EQ(refused({{"input", {{{"type", "function_call_output"}, {"output", "x"}}}}}),
            "input[0].type: unsupported_parameter");
  EXPECT_EQ(refused({{"input", "x"}, {"background", true}, {"store", false}}), "background: invalid_value");
  EXPECT_EQ(refused({{"input", "x"}, {"prompt", {{"id", "pmpt_1"}}}}), "prompt: unsupported_parameter");
  EXPECT_EQ(refused({{"input", "x"}, {"tools", {{{"type", "web_search"}}}}}), "tools: unsupported_parameter");
}

TEST_F(CompletionRequestTest, AResponseContinuesAConversation) {
  const std::string id = "resp_01234567-89ab-7cde-8f01-23456789abcd";
  const json body = {{"input", "three"}, {"instructions", "Now rhyme."}, {"previous_response_id", id}};
  std::string asked;
  const FindConversation find = [&asked](const JobId& job) -> Result<std::vector<RequestMessage>> {
    asked = job.value;
    return std::vector<RequestMessage>{{"user", "one"}, {"assistant", "two"}};
  };
  const CompletionRequest request = accept(Surface::kResponse, body, find);
  EXPECT_EQ(asked, "job_01234567-89ab-7cde-8f01-23456789abcd");
  EXPECT_THAT(request.spec.request.messages,
              ElementsAre(RequestMessage{"system", "Now rhyme."}, RequestMessage{"user", "one"},
                          RequestMessage{"assistant", "two"}, RequestMessage{"user", "three"}));
  EXPECT_EQ(json::parse(request.spec.request.echo_json)["previous_response_id"], id);

  const FindConversation nothing = [](const JobId&) -> Result<std::vector<RequestMessage>> {
    return fail(ErrorCode::kNotFound, "none");
  };
  EXPECT_EQ(refuse(Surface::kResponse, body, nothing), "previous_response_id: previous_response_not_found");
  EXPECT_EQ(refuse(Surface::kResponse, body), "previous_response_id: unsupported_parameter");
  EXPECT_EQ(refuse(Surface::kResponse, {{"input", "x"}, {"previous_response_id", "resp_1"}}, find),
            "previous_response_id: previous_response_not_found");
}

}  // namespace
}  // namespace sluice::producer
