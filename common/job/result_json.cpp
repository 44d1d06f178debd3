#include "common/job/result_json.h"

namespace sluice {

nlohmann::json text_or_null(const std::string& text) {
  return text.empty() ? nlohmann::json() : nlohmann::json(text);
}

nlohmann::json result_to_json(const JobResult& result) {
  nlohmann::json out = {{"text", result.text},
                        {"reasoning_content", text_or_null(result.reasoning_content)},
                        {"finish_reason", result.finish_reason},
                        {"precision", text_or_null(result.precision)},
                        {"usage",
                         {{"prompt_tokens", result.prompt_tokens},
                          {"completion_tokens", result.completion_tokens},
                          {"total_tokens", result.prompt_tokens + result.completion_tokens},
                          {"prompt_tokens_details", {{"cached_tokens", result.cached_tokens}}},
                          {"completion_tokens_details", {{"reasoning_tokens", result.reasoning_tokens}}}}}};
  if (!result.logprobs_json.empty()) {
    auto logprobs = nlohmann::json::parse(result.logprobs_json, nullptr, false);
    if (logprobs.is_object()) out["logprobs"] = std::move(logprobs);
  }
  return out;
}

JobResult result_from_json(const nlohmann::json& in) {
  JobResult r;
  r.text = in.at("text").get<std::string>();
  if (in.at("reasoning_content").is_string()) r.reasoning_content = in.at("reasoning_content");
  r.finish_reason = in.at("finish_reason").get<std::string>();
  r.prompt_tokens = in.at("usage").at("prompt_tokens").get<std::int64_t>();
  r.completion_tokens = in.at("usage").at("completion_tokens").get<std::int64_t>();
  // Copies of an earlier version lack these.
  const auto detail = [&in](const char* group, const char* name) -> std::int64_t {
    const auto& usage = in.at("usage");
    return usage.contains(group) ? usage.at(group).at(name).get<std::int64_t>() : 0;
  };
  r.cached_tokens = detail("prompt_tokens_details", "cached_tokens");
  r.reasoning_tokens = detail("completion_tokens_details", "reasoning_tokens");
  if (in.contains("logprobs")) r.logprobs_json = in.at("logprobs").dump();
  if (in.contains("precision") && in.at("precision").is_string()) r.precision = in.at("precision");
  return r;
}

}  // namespace sluice
