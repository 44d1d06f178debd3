#include "producer/openai/completion_answers.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "common/http/body_json.h"
#include "common/http/error_response.h"
#include "common/openai/render.h"
#include "common/openai/response.h"
#include "producer/api/answers.h"
#include "producer/api/sessions.h"
#include "producer/cache/answer_cache.h"
#include "producer/openai/completion_request.h"

namespace sluice::producer {

namespace {

constexpr int kPendingRetryS = 1;
constexpr int kDatabaseRetryS = 2;

http::Response about(const JobId& id, http::Response response) {
  response.headers.set(kJobHeader, id.value);
  return response;
}

}  // namespace

std::string completion_location(Surface surface, const JobId& id) {
  return std::string(surface_route(surface)) + "/" + openai::surface_id(surface, id);
}

http::Response of_session(http::Response response, const std::string& header) {
  if (!header.empty()) response.headers.set(kSessionHeader, header);
  return response;
}

JobError error_of(const Job& job) {
  return job.error.value_or(JobError{"internal_error", "The job failed.", "server_error", ""});
}

http::Response final_answer(Surface surface, const Job& job, const JobRequest* request,
                            std::string_view cache) {
  const int status = openai::final_status(job);
  if (status == 200) {
    http::Response answer = http::json_response(200, openai::completion_json(surface, job, request));
    answer.headers.set(kCacheHeader, std::string(cache.empty() ? cache_state(job) : cache));
    return about(job.id, std::move(answer));
  }
  const JobError error = error_of(job);
  return about(job.id, http::error_response(
                           status, error.type, error.code, error.message,
                           error.param.empty() ? std::nullopt : std::optional<std::string_view>(error.param),
                           {{"job_id", job.id.value}}));
}

http::Response response_answer(const Job& job, const JobRequest& request) {
  return about(job.id, http::json_response(200, openai::response_json(job, &request)));
}

http::Response pending_answer(Surface surface, const Job& job) {
  http::Response response = http::Response::json(202, job_text(job));
  response.headers.set("Location", completion_location(surface, job.id));
  response.headers.set("Retry-After", std::to_string(kPendingRetryS));
  return about(job.id, std::move(response));
}

http::Response not_finished_answer(Surface surface, const JobId& id) {
  http::Response response = http::busy_response(
      503, "not_finished", "The job goes on; its answer will be at " + completion_location(surface, id) + ".",
      kPendingRetryS);
  response.headers.set("Location", completion_location(surface, id));
  return about(id, std::move(response));
}

http::Response no_such_completion(Surface surface) {
  const bool response = surface == Surface::kResponse;
  return http::error_response(404, http::error_type::kNotFound,
                              response ? "response_not_found" : "completion_not_found",
                              response ? "There is no such response." : "There is no such completion.", "id");
}

bool answer_is_gone(const Job& job) {
  return job.erased && job.result;
}

http::Response completion_failure(Surface surface, const Error& error) {
  return error.code == ErrorCode::kNotFound ? no_such_completion(surface) : store_failure(error);
}

http::Response completion_refusal(const SubmitRefusal& refusal) {
  if (refusal.status == 503) {
    return http::busy_response(503, refusal.code, refusal.message, kDatabaseRetryS);
  }
  return refusal_answer(refusal);
}

}  // namespace sluice::producer
