// The bodies that a run submits.
#pragma once

#include <string>
#include <vector>

#include "bench/load/options.h"
#include "common/base/result.h"

namespace sluice::bench {

// `options.jobs` jobs in bodies of `options.batch`. kInvalid: the prompts can't be read.
struct Submission {
  std::string body;
  int jobs = 0;
};
Result<std::vector<Submission>> make_submissions(const Options& options);

}  // namespace sluice::bench
