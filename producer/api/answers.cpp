#include "producer/api/answers.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/http/body_json.h"
#include "common/http/error_response.h"
#include "producer/cache/answer_cache.h"

namespace sluice::producer {

namespace {

constexpr int kDatabaseRetryS = 2;
constexpr int kOverloadRetryS = 1;

std::string quoted(const std::string& text) {
  return http::dump_json(nlohmann::json(text));
}

template <class Jobs>
void append_jobs(std::string& body, const Jobs& jobs) {
  bool first = true;
  for (const Job& job : jobs) {
    if (!first) body += ',';
    first = false;
    body += job_text(job);
  }
}

}  // namespace

std::string job_text(const Job& job) {
  return http::dump_json(job_to_json(job));
}

nlohmann::json seconds_or_null(std::int64_t us) {
  return us == 0 ? nlohmann::json() : nlohmann::json(us / 1'000'000);
}

nlohmann::json text_or_null(const std::string& text) {
  return text.empty() ? nlohmann::json() : nlohmann::json(text);
}

http::Response job_answer(const Job& job) {
  return http::Response::json(200, job_text(job));
}

http::Response list_answer(std::span<const Job> jobs, int limit) {
  const bool more = jobs.size() > static_cast<std::size_t>(limit);
  if (more) jobs = jobs.first(static_cast<std::size_t>(limit));
  std::string body = R"({"object":"list","data":[)";
  append_jobs(body, jobs);
  body += R"(],"first_id":)";
  body += jobs.empty() ? "null" : quoted(jobs.front().id.value);
  body += R"(,"last_id":)";
  body += jobs.empty() ? "null" : quoted(jobs.back().id.value);
  body += R"(,"has_more":)";
  body += more ? "true}" : "false}";
  return http::Response::json(200, std::move(body));
}

http::Response accepted_answer(const Submission& submission, const std::optional<Estimate>& estimate) {
  if (!submission.batch) {
    const Job& job = submission.jobs.front().job;
    nlohmann::json body = job_to_json(job);
    if (estimate && estimate->finish_us > 0) {
      body["estimate"] = {{"start_at", seconds_or_null(estimate->start_us)},
                          {"finish_at", seconds_or_null(estimate->finish_us)},
                          {"meets_deadline", estimate->finish_us <= job.expires_us}};
    }
    http::Response response = http::Response::json(202, http::dump_json(body));
    response.headers.set("Location", "/v1/jobs/" + job.id.value);
    response.headers.set(kCacheHeader, std::string(cache_state(submission.jobs.front())));
    return response;
  }
  std::string body = R"({"object":"list","batch_id":)" + quoted(submission.batch->id.value) + R"(,"data":[)";
  constexpr std::size_t kJobBytes = 480;
  body.reserve(body.size() + submission.jobs.size() * kJobBytes);
  bool first = true;
  for (const NewJob& fresh : submission.jobs) {
    if (!first) body += ',';
    first = false;
    body +=
        job_text(fresh.job);  // Results of equal jobs among them: no more than the database copies at once.
  }
  body += "]}";
  http::Response response = http::Response::json(202, std::move(body));
  response.headers.set("Location", "/v1/jobs?batch_id=" + submission.batch->id.value);
  return response;
}

http::Response no_such_job() {
  return http::error_response(404, http::error_type::kNotFound, "job_not_found", "There is no such job.",
                              "id");
}

http::Response bad_query(const BadQuery& bad) {
  return http::error_response(400, http::error_type::kInvalidRequest, "invalid_query_parameter",
                              "The query parameter " + bad.param + " " + bad.message + ".", bad.param);
}

http::Response refusal_answer(const SubmitRefusal& refusal) {
  nlohmann::json extra = nlohmann::json::object();
  if (!refusal.errors.empty()) {
    nlohmann::json& errors = extra["errors"] = nlohmann::json::array();
    for (const FieldError& error : refusal.errors.kept()) {
      nlohmann::json entry = {{"field", error.field}, {"message", error.message}, {"code", error.code}};
      if (refusal.is_batch) entry["index"] = error.index < 0 ? nlohmann::json() : nlohmann::json(error.index);
      errors.push_back(std::move(entry));
    }
    if (refusal.errors.left_out() > 0) extra["errors_left_out"] = refusal.errors.left_out();
  }
  const std::string_view type =
      refusal.status == 404 ? http::error_type::kNotFound : http::error_type::kInvalidRequest;
  return http::error_response(
      refusal.status, type, refusal.code, refusal.message,
      refusal.param.empty() ? std::nullopt : std::optional<std::string_view>(refusal.param), extra);
}

http::Response store_failure(const Error& error) {
  switch (error.code) {
    case ErrorCode::kNotFound:
      return no_such_job();
    case ErrorCode::kUnavailable:
    case ErrorCode::kDeadline:
      return http::busy_response(503, "database_unavailable", "The database can't be reached just now.",
                                 kDatabaseRetryS);
    case ErrorCode::kExhausted:
      return http::busy_response(503, "overloaded", "The server has too much to do just now.",
                                 kOverloadRetryS);
    case ErrorCode::kOutcomeUnknown:
      return http::busy_response(503, "outcome_unknown",
                                 "It is not known whether this was done; it is safe to repeat.",
                                 kDatabaseRetryS);
    default:
      return http::error_response(500, http::error_type::kServer, "internal_error",
                                  "Something went wrong on our side.");
  }
}

http::Response submit_failure(const Error& error, const Submission& submission) {
  if (error.code == ErrorCode::kInvalid) {
    return http::error_response(400, http::error_type::kInvalidRequest, "not_storable",
                                "The database refused the request's data.");
  }
  if (error.code == ErrorCode::kCancelled) {
    return http::busy_response(503, "stopping", "The server is stopping; nothing was done.", kOverloadRetryS);
  }
  if (error.code != ErrorCode::kOutcomeUnknown) return store_failure(error);
  nlohmann::json extra = {{"job_ids", nlohmann::json::array()}};
  for (const NewJob& fresh : submission.jobs) extra["job_ids"].push_back(fresh.job.id.value);
  if (submission.batch) extra["batch_id"] = submission.batch->id.value;
  http::Response response = http::error_response(
      503, http::error_type::kUnavailable, "outcome_unknown",
      "It is not known whether the jobs were accepted: look for their ids before sending them again.",
      std::nullopt, extra);
  response.headers.set("Retry-After", std::to_string(kDatabaseRetryS));
  return response;
}

}  // namespace sluice::producer
