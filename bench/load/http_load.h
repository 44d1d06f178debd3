// Submits over many keep-alive connections from one thread, and awaits some of the jobs as a client would.
//
// Raw sockets and epoll, so that the client takes as little as possible of the machine that it measures with.
// Not safe for concurrent use.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/load/options.h"
#include "bench/load/requests.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace sluice::bench {

struct LoadResult {
  double submit_seconds = 0;       // From the first request to the last 202.
  std::vector<double> accept_ms;   // One for each accepted request.
  std::vector<double> watched_ms;  // From the request to the answer of ?wait=, for the watched jobs.
  int accepted_jobs = 0;
  int refusals = 0;                 // 429 and 503, each tried again.
  std::vector<std::string> errors;  // Other answers; the first few.
  int failed_requests = 0;
};

// kInvalid: the URL; kUnavailable: nobody listens there; kDeadline: the timeout came first.
Result<LoadResult> run_load(const Options& options, const std::vector<Submission>& submissions, Clock& clock);

// One GET on a connection of its own. kUnavailable: no answer.
Result<std::string> http_get(const std::string& url);

}  // namespace sluice::bench
