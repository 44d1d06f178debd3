// Jobs as the objects of OpenAI's API, and what their ends mean in HTTP.
//
// Pure functions; safe for concurrent use. Text that isn't valid UTF-8 is left as it is: dump with
// error_handler_t::replace.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "common/job/job.h"
#include "common/job/request.h"
#include "common/openai/ids.h"

namespace sluice::openai {

// The body that answers `job` with status 200: a chat.completion, a text_completion, a response, or our own
// job object. All but a response (which tells of any state) and a job need a job that succeeded.
//
// A response repeats much of its request: without `request` those members have their defaults.
nlohmann::json completion_json(Surface surface, const Job& job, const JobRequest* request = nullptr);

// The tokens that an answer tells the likelihoods of, as a list; null: it wasn't asked for.
nlohmann::json logprob_tokens(const JobResult& result);
// `logprobs` of a choice, in the form of a chat or of the older completions; null: it wasn't asked for.
nlohmann::json logprobs_json(Surface surface, const JobResult& result);

// {"prompt_tokens", "completion_tokens", "total_tokens", …_details} of a completion.
nlohmann::json usage_json(const JobResult& result);

// {"error": {"message", "type", "param", "code"}}
nlohmann::json error_json(const JobError& error);

// The status with which a final job answers its request: 200; 400 for a request that can't succeed (500 where
// that is our doing); 500 for a dead job; 504 for one that expired; 499 for one that was cancelled.
int final_status(const Job& job);

}  // namespace sluice::openai
