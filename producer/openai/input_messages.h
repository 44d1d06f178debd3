// Messages as OpenAI's clients write them, made into those of a job.
//
// Pure functions. What is wrong goes to `errors`.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "common/job/request.h"
#include "producer/api/field_errors.h"

namespace sluice::producer {

// `messages` of a chat completion.
std::vector<RequestMessage> read_chat_messages(const nlohmann::json& in, FieldErrors& errors);
// `input` of a response: a string, or a list of messages (also those that an earlier response put out; what
// it thought is passed over).
std::vector<RequestMessage> read_response_input(const nlohmann::json& in, FieldErrors& errors);

}  // namespace sluice::producer
