// Binds the rules of the job store, the same for every program that changes jobs: attempts-max
// (SLUICE_ATTEMPTS_MAX) and so on. Give all of them the same values.
#pragma once

#include "common/config/settings.h"
#include "common/store/job_store.h"

namespace sluice {

void bind(config::Settings& settings, JobRules& rules);

}  // namespace sluice
