// The response object of OpenAI's Responses API, whole and in the parts that a stream builds it from.
//
// Pure functions; safe for concurrent use.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "common/job/job.h"
#include "common/job/request.h"

namespace sluice::openai {

// In any state of the job. `request` gives the members that repeat the request: its parameters and `echo`
// ({"instructions", "previous_response_id", "background", "store", "max_output_tokens", "user"}).
nlohmann::json response_json(const Job& job, const JobRequest* request = nullptr);

// "queued", "in_progress", "completed", "incomplete" (cut off at max_output_tokens), "failed", "cancelled".
std::string_view response_status(const Job& job);

// The items of `output`: first what a reasoning model thought, if it did, then its message. `status` is
// "in_progress", "completed" or "incomplete".
nlohmann::json reasoning_item(const JobId& id, std::string_view text, std::string_view status);
nlohmann::json message_item(const JobId& id, nlohmann::json content, std::string_view status);
nlohmann::json text_part(std::string_view text, nlohmann::json logprobs);

// {"input_tokens", …} of a result.
nlohmann::json response_usage_json(const JobResult& result);

}  // namespace sluice::openai
