// The body of a message on a task queue: which start of which job. Losing or doubling one never changes an
// outcome, so it carries nothing but names.
//
//   {"job_id": "job_…", "generation": 1, "attempt": 0, "shard": 3}
//
// Published persistent and mandatory, content type application/json, the job's id as message id.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/store/job_store.h"

namespace sluice {

inline constexpr std::string_view kTaskContentType = "application/json";

std::string task_to_json(const TaskRef& task);
// kCorrupt: not such a text, or an id that is none. Unknown members are ignored.
Result<TaskRef> task_from_json(std::string_view text);

}  // namespace sluice
