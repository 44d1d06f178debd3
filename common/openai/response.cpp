#include "common/openai/response.h"

#include <nlohmann/json.hpp>

#include "common/openai/ids.h"
#include "common/openai/render.h"

namespace sluice::openai {

namespace {

using nlohmann::json;

json output_of(const Job& job) {
  json output = json::array();
  if (!job.result) return output;
  const bool cut_off = job.result->finish_reason == "length";
  if (!job.result->reasoning_content.empty()) {
    output.push_back(reasoning_item(job.id, job.result->reasoning_content, "completed"));
  }
  output.push_back(message_item(job.id,
                                json::array({text_part(job.result->text, logprob_tokens(*job.result))}),
                                cut_off ? "incomplete" : "completed"));
  return output;
}

// Codes of OpenAI's ResponseError are few; those of ours that mean the same, and else what fits.
json error_of(const Job& job) {
  if (!job.error || job.state == JobState::kCancelled) return nullptr;
  const bool ours = job.state != JobState::kFailed || job.error->type == "server_error";
  return {{"code", ours ? "server_error" : "invalid_prompt"},
          {"message", job.error->message},
          {"sluice_code", job.error->code}};
}

json metadata_of(const Job& job) {
  json metadata = job.metadata_json.empty() ? json::object() : json::parse(job.metadata_json, nullptr, false);
  return metadata.is_object() ? metadata : json::object();
}

}  // namespace

std::string_view response_status(const Job& job) {
  switch (job.state) {
    case JobState::kQueued:
      return "queued";
    case JobState::kRunning:
      return "in_progress";
    case JobState::kSucceeded:
      return job.result && job.result->finish_reason == "length" ? "incomplete" : "completed";
    case JobState::kCancelled:
      return "cancelled";
    case JobState::kFailed:
    case JobState::kDead:
    case JobState::kExpired:
      break;
  }
  return "failed";
}

json text_part(std::string_view text, json logprobs) {
  return {{"type", "output_text"},
          {"text", text},
          {"annotations", json::array()},
          {"logprobs", logprobs.is_array() ? std::move(logprobs) : json::array()}};
}

json reasoning_item(const JobId& id, std::string_view text, std::string_view status) {
  json item = {{"id", part_id("rs_", id)},
               {"type", "reasoning"},
               {"summary", json::array()},
               {"content", json::array()},
               {"status", status}};
  if (!text.empty()) item["content"].push_back({{"type", "reasoning_text"}, {"text", text}});
  return item;
}

json message_item(const JobId& id, json content, std::string_view status) {
  return {{"id", part_id("msg_", id)},
          {"type", "message"},
          {"role", "assistant"},
          {"status", status},
          {"content", std::move(content)}};
}

json response_usage_json(const JobResult& result) {
  return {{"input_tokens", result.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", result.cached_tokens}}},
          {"output_tokens", result.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", result.reasoning_tokens}}},
          {"total_tokens", result.prompt_tokens + result.completion_tokens}};
}

json response_json(const Job& job, const JobRequest* request) {
  JobParameters parameters;
  parameters.temperature = 1;
  json echo = json::object();
  if (request != nullptr) {
    parameters = request->parameters;
    if (!request->echo_json.empty()) echo = json::parse(request->echo_json, nullptr, false);
    if (!echo.is_object()) echo = json::object();
  }
  const auto repeated = [&echo](const char* name, json otherwise) {
    const auto found = echo.find(name);
    return found == echo.end() ? std::move(otherwise) : *found;
  };
  const std::string_view status = response_status(job);
  json out = {
      {"id", surface_id(Surface::kResponse, job.id)},
      {"object", "response"},
      {"created_at", job.created_us / 1'000'000},
      {"completed_at", job.result ? json(job.finished_us / 1'000'000) : json()},
      {"status", status},
      {"background", repeated("background", false)},
      {"error", error_of(job)},
      {"incomplete_details", nullptr},
      {"instructions", repeated("instructions", nullptr)},
      {"max_output_tokens", repeated("max_output_tokens", nullptr)},
      {"max_tool_calls", nullptr},
      {"metadata", metadata_of(job)},
      {"model", job.model},
      {"output", output_of(job)},
      {"parallel_tool_calls", true},
      {"previous_response_id", repeated("previous_response_id", nullptr)},
      {"reasoning", {{"effort", nullptr}, {"summary", nullptr}}},
      {"service_tier", "default"},
      {"store", repeated("store", true)},
      {"temperature", parameters.temperature},
      {"text", {{"format", {{"type", "text"}}}}},
      {"tool_choice", "auto"},
      {"tools", json::array()},
      {"top_logprobs", parameters.top_logprobs},
      {"top_p", parameters.top_p},
      {"truncation", "disabled"},
      {"usage", job.result ? response_usage_json(*job.result) : json()},
      {"user", repeated("user", nullptr)},
  };
  if (status == "incomplete") out["incomplete_details"] = {{"reason", "max_output_tokens"}};
  return out;
}

}  // namespace sluice::openai
