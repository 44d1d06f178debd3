#include "common/openai/render.h"

#include <nlohmann/json.hpp>
#include <string>

#include "common/base/check.h"
#include "common/openai/response.h"

namespace sluice::openai {

namespace {

using nlohmann::json;

json text_or_null(const std::string& text) {
  return text.empty() ? json() : json(text);
}

json chat_logprobs(const JobResult& result) {
  json tokens = logprob_tokens(result);
  if (tokens.is_null()) return nullptr;
  return {{"content", std::move(tokens)}, {"refusal", nullptr}};
}

// The older form: four lists side by side. Offsets count characters of the answer.
json completion_logprobs(const JobResult& result) {
  const json tokens = logprob_tokens(result);
  if (tokens.is_null()) return nullptr;
  json out = {{"tokens", json::array()},
              {"token_logprobs", json::array()},
              {"top_logprobs", json::array()},
              {"text_offset", json::array()}};
  std::int64_t offset = 0;
  for (const json& token : tokens) {
    const auto text = token.value("token", std::string());
    out["tokens"].push_back(text);
    out["token_logprobs"].push_back(token.value("logprob", 0.0));
    json likeliest = json::object();
    for (const json& other : token.value("top_logprobs", json::array())) {
      likeliest[other.value("token", std::string())] = other.value("logprob", 0.0);
    }
    out["top_logprobs"].push_back(std::move(likeliest));
    out["text_offset"].push_back(offset);
    for (const char c : text) offset += (static_cast<unsigned char>(c) & 0xC0U) != 0x80U ? 1 : 0;
  }
  return out;
}

json head(const char* object, Surface surface, const Job& job) {
  json out = {{"id", surface_id(surface, job.id)},
              {"object", object},
              {"created", job.created_us / 1'000'000},
              {"model", job.model}};
  return out;
}

// Tells answers apart that other weights may have computed.
void add_fingerprint(const JobResult& result, json& out) {
  if (!result.precision.empty()) out["system_fingerprint"] = "fp_" + result.precision;
}

json chat_json(const Job& job) {
  const JobResult& result = *job.result;
  json message = {
      {"role", "assistant"}, {"content", result.text}, {"refusal", nullptr}, {"annotations", json::array()}};
  if (!result.reasoning_content.empty()) message["reasoning_content"] = result.reasoning_content;
  json out = head("chat.completion", Surface::kChat, job);
  out["choices"] = json::array({{{"index", 0},
                                 {"message", std::move(message)},
                                 {"logprobs", logprobs_json(Surface::kChat, result)},
                                 {"finish_reason", result.finish_reason}}});
  out["usage"] = usage_json(result);
  out["service_tier"] = "default";
  add_fingerprint(result, out);
  return out;
}

json text_json(const Job& job) {
  const JobResult& result = *job.result;
  json out = head("text_completion", Surface::kCompletion, job);
  out["choices"] = json::array({{{"index", 0},
                                 {"text", result.text},
                                 {"logprobs", logprobs_json(Surface::kCompletion, result)},
                                 {"finish_reason", result.finish_reason}}});
  // A reasoning model thinks here too; OpenAI's object has no place for it, and clients ignore one more.
  if (!result.reasoning_content.empty()) {
    out["choices"][0]["reasoning_content"] = result.reasoning_content;
  }
  out["usage"] = usage_json(result);
  add_fingerprint(result, out);
  return out;
}

}  // namespace

json logprob_tokens(const JobResult& result) {
  if (result.logprobs_json.empty()) return nullptr;
  json parsed = json::parse(result.logprobs_json, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("content") || !parsed["content"].is_array()) return nullptr;
  return std::move(parsed["content"]);
}

json logprobs_json(Surface surface, const JobResult& result) {
  return surface == Surface::kChat ? chat_logprobs(result) : completion_logprobs(result);
}

json usage_json(const JobResult& result) {
  return {{"prompt_tokens", result.prompt_tokens},
          {"completion_tokens", result.completion_tokens},
          {"total_tokens", result.prompt_tokens + result.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", result.cached_tokens}, {"audio_tokens", 0}}},
          {"completion_tokens_details",
           {{"reasoning_tokens", result.reasoning_tokens},
            {"audio_tokens", 0},
            {"accepted_prediction_tokens", 0},
            {"rejected_prediction_tokens", 0}}}};
}

json completion_json(Surface surface, const Job& job, const JobRequest* request) {
  if (surface == Surface::kJob) return job_to_json(job);
  if (surface == Surface::kResponse) return response_json(job, request);
  SLUICE_CHECK(job.result.has_value());
  return surface == Surface::kChat ? chat_json(job) : text_json(job);
}

json error_json(const JobError& error) {
  return {{"error",
           {{"message", error.message},
            {"type", error.type},
            {"param", text_or_null(error.param)},
            {"code", text_or_null(error.code)}}}};
}

int final_status(const Job& job) {
  switch (job.state) {
    case JobState::kSucceeded:
      return 200;
    case JobState::kFailed:
      return job.error && job.error->type == "server_error" ? 500 : 400;
    case JobState::kExpired:
      return 504;
    case JobState::kCancelled:
      return 499;
    case JobState::kDead:
    case JobState::kQueued:
    case JobState::kRunning:
      break;
  }
  return 500;
}

}  // namespace sluice::openai
