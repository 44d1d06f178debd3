#include "common/openai/batch_line.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "common/job/request.h"
#include "common/openai/ids.h"
#include "common/openai/render.h"

namespace sluice::openai {

namespace {

using nlohmann::json;

json error_of(const Job& job) {
  if (job.state == JobState::kExpired) {
    return {{"code", "batch_expired"},
            {"message", "The request was not answered before the batch's completion window ended."}};
  }
  const JobError error =
      job.error.value_or(JobError{"batch_cancelled", "The request was cancelled.", "", ""});
  return {{"code", error.code}, {"message", error.message}};
}

json response_of(const Job& job, std::string_view request_json) {
  json body;
  if (job.state == JobState::kSucceeded) {
    std::optional<JobRequest> request;
    if (!request_json.empty()) {
      if (auto read = job_request_from_json(request_json)) request = std::move(*read);
    }
    body = completion_json(job.surface, job, request ? &*request : nullptr);
  } else {
    body = error_json(job.error.value_or(JobError{}));
  }
  return {{"status_code", final_status(job)}, {"request_id", job.id.value}, {"body", std::move(body)}};
}

}  // namespace

std::string batch_line(std::string_view custom_id, const Job& job, std::string_view request_json) {
  const bool unanswered = job.state == JobState::kExpired || job.state == JobState::kCancelled;
  json line = {{"id", part_id("batch_req_", job.id)}, {"custom_id", custom_id}};
  line["response"] = unanswered ? json() : response_of(job, request_json);
  line["error"] = unanswered ? error_of(job) : json();
  return line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace sluice::openai
