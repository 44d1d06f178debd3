// A line of a batch's output or error file: how one of its requests ended.
//
//   {"id": "batch_req_…", "custom_id": "…", "response": {"status_code": 200, "request_id": "job_…", "body":
//   {…}}, "error": null}
//
// Lines are made from the job alone, so that they are the same whenever and by whomever they are made.
//
// Pure; safe for concurrent use.
#pragma once

#include <string>
#include <string_view>

#include "common/job/job.h"

namespace sluice::openai {

// With its line end. `job` is final. `request_json` is the job's payload, for answers that repeat the request
// (responses); empty: not known. A request that was never answered (expired, cancelled) has `response` null
// and an `error`; one that failed has its status and error body.
std::string batch_line(std::string_view custom_id, const Job& job, std::string_view request_json);

}  // namespace sluice::openai
