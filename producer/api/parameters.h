// The members of `parameters`, read and checked one by one.
//
// Pure functions.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "common/job/request.h"
#include "producer/api/field_errors.h"

namespace sluice::producer {

// Overwrites those fields of `parameters` that `in` (an object) gives; null counts as not given. Whatever is
// wrong goes to `errors`, each field with `prefix` before its name; without `faults_allowed` that includes
// the members that only the echo engine takes.
void read_parameters(const nlohmann::json& in, bool faults_allowed, JobParameters& parameters,
                     FieldErrors& errors, std::string_view prefix = "parameters.");

// What holds between the members, once a batch's defaults and a job's own are put together.
void check_parameters(const JobParameters& parameters, FieldErrors& errors,
                      std::string_view prefix = "parameters.");
// Whether `parameters` may have such a member.
bool is_parameter(std::string_view name);

}  // namespace sluice::producer
