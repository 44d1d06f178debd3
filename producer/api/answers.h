// Answers of the job routes: jobs as JSON, and failures as error objects.
//
// Pure functions.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/http/message.h"
#include "common/job/job.h"
#include "common/store/job_store.h"
#include "producer/api/query.h"
#include "producer/api/submit_request.h"
#include "producer/live/estimate.h"

namespace sluice::producer {

std::string job_text(const Job& job);
// Microseconds as whole seconds; null for 0. And null for an empty text.
nlohmann::json seconds_or_null(std::int64_t us);
nlohmann::json text_or_null(const std::string& text);

http::Response job_answer(const Job& job);
// An OpenAI list of at most `limit` of `jobs`; one more than that means that there are more.
http::Response list_answer(std::span<const Job> jobs, int limit);
// 202 for what was accepted; `estimate`: of a single job, if one is known.
http::Response accepted_answer(const Submission& submission,
                               const std::optional<Estimate>& estimate = std::nullopt);

// 404, the same for a job that isn't there and one of somebody else.
http::Response no_such_job();
http::Response bad_query(const BadQuery& bad);
http::Response refusal_answer(const SubmitRefusal& refusal);
// What the database's failure means for a client: mostly 503 with Retry-After.
http::Response store_failure(const Error& error);
// The same for a submission; with an unknown outcome the ids are named, so that the client can look.
http::Response submit_failure(const Error& error, const Submission& submission);

}  // namespace sluice::producer
