// Which requests are equal: those that the same model would answer alike.
//
// Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "producer/api/submit_request.h"

namespace sluice::producer {

// Whether the job may share its result with equal ones. Unless the client says so itself: those whose answer
// is the same each time: greedy ones and those with a seed, in full precision. Never one that is to
// misbehave.
bool shares_answer(const JobSpec& spec);
// SHA-256, in hex, of all that decides over the result: the version of the engine, the model's file or name,
// the operator's `revision`, and the fully defaulted request.
std::string answer_key(const JobSpec& spec, std::string_view revision);

}  // namespace sluice::producer
