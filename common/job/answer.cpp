#include "common/job/answer.h"

#include <nlohmann/json.hpp>

#include "common/job/result_json.h"

namespace sluice {

std::string answer_cache_key(const TenantId& tenant, std::string_view key) {
  return "sluice:answer:" + tenant.value + ":" + std::string(key);
}

std::string answer_to_cache(const Answer& answer) {
  const nlohmann::json out = {
      {"job", answer.job.value}, {"until_us", answer.until_us}, {"result", result_to_json(answer.result)}};
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<Answer> answer_from_cache(std::string_view text) {
  try {
    const auto in = nlohmann::json::parse(text);
    Answer answer;
    answer.job.value = in.at("job").get<std::string>();
    answer.until_us = in.at("until_us").get<std::int64_t>();
    answer.result = result_from_json(in.at("result"));
    return answer;
  } catch (const nlohmann::json::exception& e) {
    return fail(ErrorCode::kCorrupt, std::string("cached answer: ") + e.what());
  }
}

}  // namespace sluice
