// Internal to this folder: a job's result as JSON, in job objects and in copies for Redis.
#pragma once

#include <nlohmann/json.hpp>

#include "common/job/job.h"

namespace sluice {

nlohmann::json text_or_null(const std::string& text);
nlohmann::json result_to_json(const JobResult& result);
// Throws nlohmann::json::exception if it is none.
JobResult result_from_json(const nlohmann::json& in);

}  // namespace sluice
