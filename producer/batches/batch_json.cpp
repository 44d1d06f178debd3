#include "producer/batches/batch_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "common/http/error_response.h"
#include "producer/api/answers.h"

namespace sluice::producer {

using nlohmann::json;

namespace {

json usage_json(const BatchUsage& usage) {
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

json metadata_of(const std::string& text) {
  return text.empty() ? json() : json::parse(text, nullptr, false);
}

}  // namespace

json batch_errors_json(const BatchErrors& errors, std::size_t errors_max) {
  json data = json::array();
  const std::size_t told = std::min(errors.kept.size(), errors_max);
  for (const BatchError& one : std::span(errors.kept).first(told)) {
    data.push_back({{"code", one.code},
                    {"message", one.message},
                    {"param", text_or_null(one.param)},
                    {"line", one.line == 0 ? json() : json(one.line)}});
  }
  json list = {{"object", "list"}, {"data", std::move(data)}};
  if (errors.count > static_cast<std::int64_t>(told)) list["count"] = errors.count;
  return list;
}

json batch_to_json(const FileBatch& batch, std::size_t errors_max) {
  const NewFileBatch& asked = batch.asked;
  return {{"id", asked.id.value},
          {"object", "batch"},
          {"endpoint", asked.endpoint},
          {"errors", batch.errors.count == 0 ? json() : batch_errors_json(batch.errors, errors_max)},
          {"input_file_id", asked.input_file_id.value},
          {"completion_window", asked.window},
          {"status", batch_status_name(batch.status)},
          {"output_file_id", text_or_null(batch.output_file_id.value)},
          {"error_file_id", text_or_null(batch.error_file_id.value)},
          {"created_at", seconds_or_null(batch.created_us)},
          {"in_progress_at", seconds_or_null(batch.in_progress_us)},
          {"expires_at", seconds_or_null(batch.expires_us)},
          {"finalizing_at", seconds_or_null(batch.finalizing_us)},
          {"completed_at", seconds_or_null(batch.completed_us)},
          {"failed_at", seconds_or_null(batch.failed_us)},
          {"expired_at", seconds_or_null(batch.expired_us)},
          {"cancelling_at", seconds_or_null(batch.cancelling_us)},
          {"cancelled_at", seconds_or_null(batch.cancelled_us)},
          {"request_counts",
           {{"total", batch.lines_total}, {"completed", batch.succeeded}, {"failed", batch.not_succeeded}}},
          {"usage", usage_json(batch.usage)},
          {"metadata", metadata_of(asked.metadata_json)},
          {"priority", priority_name(asked.priority)},
          {"callback_url", text_or_null(asked.callback_url)},
          {"callback_every", asked.callback_lines == 0 ? json()
                                                       : json{{"lines", asked.callback_lines},
                                                              {"seconds", asked.callback_seconds}}},
          {"paused", batch.paused},
          {"revision", batch.revision}};
}

json validation_json(const NewFileBatch& asked, const InputCheck& check,
                     const std::optional<Estimate>& estimate, std::int64_t now_us) {
  const std::int64_t expires_us = now_us + asked.window_s * 1'000'000;
  const BatchErrors& errors = check.errors();
  return {{"object", "batch.validation"},
          {"valid", errors.count == 0},
          {"input_file_id", asked.input_file_id.value},
          {"endpoint", asked.endpoint},
          {"completion_window", asked.window},
          {"errors", errors.count == 0 ? json() : batch_errors_json(errors, errors.kept.size())},
          {"error_count", errors.count},
          {"request_counts", {{"total", check.requests()}}},
          {"estimate",
           {{"prompt_tokens", check.prompt_tokens()},
            {"completion_tokens_max", check.tokens_max() - check.prompt_tokens()},
            {"total_tokens_max", check.tokens_max()},
            {"start_at", seconds_or_null(estimate ? estimate->start_us : 0)},
            {"finish_at", seconds_or_null(estimate ? estimate->finish_us : 0)},
            {"meets_window", estimate ? json(estimate->finish_us <= expires_us) : json()}}}};
}

http::Response no_such_input_file() {
  return http::error_response(404, http::error_type::kNotFound, "file_not_found", "There is no such file.",
                              "input_file_id");
}

}  // namespace sluice::producer
