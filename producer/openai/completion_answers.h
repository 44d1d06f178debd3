// Answers of the completion routes: jobs in OpenAI's shapes, and failures as error objects.
//
// Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/http/message.h"
#include "common/job/job.h"
#include "common/job/request.h"
#include "producer/api/submit_request.h"

namespace sluice::producer {

// Names the job in whatever answers a request that made or found one: "X-Sluice-Job: job_…".
inline constexpr const char* kJobHeader = "X-Sluice-Job";

// With the header of a session's turn, unless that is empty.
http::Response of_session(http::Response response, const std::string& header);
// What a job that has no result ended with.
JobError error_of(const Job& job);
// What a final job answers to the request that made it: its completion, or the error that it ended with.
// `request` is needed for a response only. `cache` is for the header X-Cache; empty: what the job's row says.
http::Response final_answer(Surface surface, const Job& job, const JobRequest* request,
                            std::string_view cache = {});
// The response object, with status 200 in any state of the job.
http::Response response_answer(const Job& job, const JobRequest& request);
// 202 for a job that isn't final: the job object, and where its answer will be.
http::Response pending_answer(Surface surface, const Job& job);
// 503 for who waited as long as the server lets it: the job goes on.
http::Response not_finished_answer(Surface surface, const JobId& id);
// The job's answer was deleted: what is left of it isn't told to anyone. One that ended without an answer
// still tells who waited how it ended.
bool answer_is_gone(const Job& job);
// What the database's failure means to a client that asks for a completion; kNotFound: no_such_completion().
http::Response completion_failure(Surface surface, const Error& error);
// 404, the same for what isn't there, what is another surface's, and what is somebody else's.
http::Response no_such_completion(Surface surface);
// A refused body. As refusal_answer(), but 503 where the database was the reason.
http::Response completion_refusal(const SubmitRefusal& refusal);

// "/v1/chat/completions/chatcmpl-…"
std::string completion_location(Surface surface, const JobId& id);

}  // namespace sluice::producer
