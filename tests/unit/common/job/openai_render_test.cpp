#include "common/openai/render.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/openai/chunks.h"
#include "common/openai/response.h"

namespace sluice::openai {
namespace {

using nlohmann::json;

constexpr const char* kUuid = "01234567-89ab-7cde-8f01-23456789abcd";

Job finished(Surface surface) {
  Job job;
  job.id.value = std::string("job_") + kUuid;
  job.tenant.value = "default";
  job.model = "sluice-tiny";
  job.surface = surface;
  job.state = JobState::kSucceeded;
  job.created_us = 1'700'000'000'900'000;
  job.finished_us = 1'700'000'002'500'000;
  job.result = JobResult{"42", "", "stop", 17, 2, 5, 1, "", "Q8_0"};
  return job;
}

TEST(OpenAiIds, AreTheJobsUnderAnotherPrefix) {
  const JobId id{std::string("job_") + kUuid};
  for (const Surface surface : {Surface::kJob, Surface::kChat, Surface::kCompletion, Surface::kResponse}) {
    const std::string other = surface_id(surface, id);
    EXPECT_EQ(job_id_from(surface, other), id) << other;
    EXPECT_EQ(job_id_from(surface, id.value), id);
    EXPECT_EQ(job_id_from(surface, other + "0"), std::nullopt);
  }
  EXPECT_EQ(surface_id(Surface::kChat, id), std::string("chatcmpl-") + kUuid);
  EXPECT_EQ(job_id_from(Surface::kChat, surface_id(Surface::kCompletion, id)), std::nullopt);
}

TEST(OpenAiRender, ChatCompletion) {
  EXPECT_EQ(completion_json(Surface::kChat, finished(Surface::kChat)), json::parse(R"({
    "id": "chatcmpl-01234567-89ab-7cde-8f01-23456789abcd", "object": "chat.completion", "created": 1700000000,
    "model": "sluice-tiny", "service_tier": "default", "system_fingerprint": "fp_Q8_0",
    "choices": [{"index": 0, "finish_reason": "stop", "logprobs": null,
                 "message": {"role": "assistant", "content": "42", "refusal": null, "annotations": []}}],
    "usage": {"prompt_tokens": 17, "completion_tokens": 2, "total_tokens": 19,
              "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 0},
              "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 0,
                "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}}})"));
  Job thinking = finished(Surface::kChat);
  thinking.result->reasoning_content = "6 times 7";
  EXPECT_EQ(completion_json(Surface::kChat, thinking)["choices"][0]["message"]["reasoning_content"],
            "6 times 7");
}

TEST(OpenAiRender, LogprobsInTheFormOfEachObject) {
  Job job = finished(Surface::kChat);
  job.result->logprobs_json =
      R"({"content":[{"token":"ä","logprob":-0.5,"bytes":[195,164],"top_logprobs":[{"token":"b","logprob":-1,"bytes":[98]}]},
          {"token":"2","logprob":-0.25,"bytes":[50],"top_logprobs":[]}]})";
  const json chat = completion_json(Surface::kChat, job)["choices"][0]["logprobs"];
  EXPECT_EQ(chat["content"].size(), 2U);
  EXPECT_EQ(chat["content"][0]["top_logprobs"][0]["token"], "b");
  EXPECT_TRUE(chat["refusal"].is_null());
  EXPECT_EQ(completion_json(Surface::kCompletion, job)["choices"][0]["logprobs"], json::parse(R"({
    "tokens": ["ä", "2"], "token_logprobs": [-0.5, -0.25], "top_logprobs": [{"b": -1.0}, {}],
    "text_offset": [0, 1]})"));
  const json response = completion_json(Surface::kResponse, job);
  EXPECT_EQ(response["output"][0]["content"][0]["logprobs"][1]["token"], "2");
}

TEST(OpenAiRender, TextCompletion) {
  const json out = completion_json(Surface::kCompletion, finished(Surface::kCompletion));
  EXPECT_EQ(out["object"], "text_completion");
  EXPECT_EQ(out["id"], std::string("cmpl-") + kUuid);
  EXPECT_EQ(out["choices"],
            json::parse(R"([{"index": 0, "text": "42", "logprobs": null, "finish_reason": "stop"}])"));
  EXPECT_EQ(out["usage"]["total_tokens"], 19);
}

TEST(OpenAiRender, ResponseRepeatsItsRequest) {
  JobRequest request;
  request.parameters.temperature = 0.5;
  request.parameters.top_p = 0.9;
  request.echo_json =
      R"({"instructions":"Be short.","previous_response_id":"resp_x","background":true,"store":true,"max_output_tokens":64})";
  Job job = finished(Surface::kResponse);
  job.metadata_json = R"({"order":"1"})";
  job.result->reasoning_content = "hm";
  const json out = completion_json(Surface::kResponse, job, &request);
  EXPECT_EQ(out["id"], std::string("resp_") + kUuid);
  EXPECT_EQ(out["status"], "completed");
  EXPECT_EQ(out["instructions"], "Be short.");
  EXPECT_EQ(out["previous_response_id"], "resp_x");
  EXPECT_EQ(out["background"], true);
  EXPECT_EQ(out["max_output_tokens"], 64);
  EXPECT_EQ(out["temperature"], 0.5);
  EXPECT_EQ(out["metadata"], json({{"order", "1"}}));
  EXPECT_TRUE(out["error"].is_null());
  ASSERT_EQ(out["output"].size(), 2U);
  EXPECT_EQ(out["output"][0]["type"], "reasoning");
  EXPECT_EQ(out["output"][0]["content"][0]["text"], "hm");
  EXPECT_EQ(out["output"][1], json::parse(R"({
    "id": "msg_01234567-89ab-7cde-8f01-23456789abcd", "type": "message", "role": "assistant", "status": "completed",
    "content": [{"type": "output_text", "text": "42", "annotations": [], "logprobs": []}]})"));
  EXPECT_EQ(out["usage"], json::parse(R"({
    "input_tokens": 17, "input_tokens_details": {"cached_tokens": 5}, "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 19})"));
}

TEST(OpenAiRender, ResponseTellsOfEveryState) {
  Job job = finished(Surface::kResponse);
  job.result->finish_reason = "length";
  const json cut_off = response_json(job);
  EXPECT_EQ(cut_off["status"], "incomplete");
  EXPECT_EQ(cut_off["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(cut_off["output"][0]["status"], "incomplete");
  job.result.reset();
  job.state = JobState::kQueued;
  EXPECT_EQ(response_json(job)["status"], "queued");
  EXPECT_EQ(response_json(job)["output"], json::array());
  EXPECT_TRUE(response_json(job)["usage"].is_null());
  job.state = JobState::kRunning;
  EXPECT_EQ(response_json(job)["status"], "in_progress");
  job.state = JobState::kDead;
  job.error = JobError{"engine_error", "it broke", "server_error", ""};
  EXPECT_EQ(response_json(job)["status"], "failed");
  EXPECT_EQ(response_json(job)["error"]["code"], "server_error");
  EXPECT_EQ(response_json(job)["error"]["message"], "it broke");
  job.state = JobState::kCancelled;
  EXPECT_EQ(response_json(job)["status"], "cancelled");
  EXPECT_TRUE(response_json(job)["error"].is_null());
}

TEST(OpenAiRender, EndsHaveAStatusAndAnErrorObject) {
  Job job = finished(Surface::kChat);
  EXPECT_EQ(final_status(job), 200);
  job.state = JobState::kFailed;
  job.error = JobError{"context_length_exceeded", "too long", "invalid_request_error", "messages"};
  EXPECT_EQ(final_status(job), 400);
  EXPECT_EQ(error_json(*job.error),
            json::parse(R"({"error": {"message": "too long", "type": "invalid_request_error",
                                      "param": "messages", "code": "context_length_exceeded"}})"));
  job.error = JobError{"result_refused", "", "server_error", ""};
  EXPECT_EQ(final_status(job), 500);
  EXPECT_TRUE(error_json(*job.error)["error"]["param"].is_null());
  job.state = JobState::kDead;
  EXPECT_EQ(final_status(job), 500);
  job.state = JobState::kExpired;
  EXPECT_EQ(final_status(job), 504);
  job.state = JobState::kCancelled;
  EXPECT_EQ(final_status(job), 499);
}

TEST(OpenAiChunks, OfAChatAreDeltas) {
  const Job job = finished(Surface::kChat);
  const ChunkMaker chunks(Surface::kChat, job.id, job.model, 1'700'000'000, true);
  EXPECT_EQ(chunks.role(), json::parse(R"({
    "id": "chatcmpl-01234567-89ab-7cde-8f01-23456789abcd", "object": "chat.completion.chunk",
    "created": 1700000000, "model": "sluice-tiny", "usage": null,
    "choices": [{"index": 0, "logprobs": null, "finish_reason": null,
                 "delta": {"role": "assistant", "content": "", "refusal": null}}]})"));
  EXPECT_EQ(chunks.text("4")["choices"][0]["delta"], json({{"content", "4"}}));
  EXPECT_EQ(chunks.reasoning("hm")["choices"][0]["delta"], json({{"reasoning_content", "hm"}}));
  const json last = chunks.finish(*job.result);
  EXPECT_EQ(last["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(last["choices"][0]["delta"], json::object());
  const json usage = chunks.usage(*job.result);
  EXPECT_EQ(usage["choices"], json::array());
  EXPECT_EQ(usage["usage"]["total_tokens"], 19);
}

TEST(OpenAiChunks, OfACompletionAreText) {
  const Job job = finished(Surface::kCompletion);
  const ChunkMaker chunks(Surface::kCompletion, job.id, job.model, 1, false);
  const json piece = chunks.text("4");
  EXPECT_EQ(piece["object"], "text_completion");
  EXPECT_EQ(piece["choices"][0]["text"], "4");
  EXPECT_FALSE(piece.contains("usage"));
  EXPECT_EQ(chunks.finish(*job.result)["choices"][0]["text"], "");
}

}  // namespace
}  // namespace sluice::openai
