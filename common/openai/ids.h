// Ids of jobs that are answered in OpenAI's shapes: the job's UUID under the prefix that clients expect.
//
//   job_0199… ↔ chatcmpl-0199… (chat) ↔ cmpl-0199… (completion) ↔ resp_0199… (response)
//
// Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/ids/ids.h"
#include "common/job/job.h"

namespace sluice::openai {

std::string_view id_prefix(Surface surface);
std::string surface_id(Surface surface, const JobId& id);
// The job that such an id names; its own id ("job_…") is taken as well. nullopt: neither of the two.
std::optional<JobId> job_id_from(Surface surface, std::string_view id);
// The id of something that a job's answer consists of: "msg_0199…".
std::string part_id(std::string_view prefix, const JobId& id);

}  // namespace sluice::openai
