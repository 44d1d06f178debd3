// How a start ended, in the words of the job store, and what may be told to clients about failures.
//
// Pure functions; safe for concurrent use.
#pragma once

#include <string>
#include <variant>

#include "common/base/result.h"
#include "common/store/job_store.h"
#include "worker/batcher/work.h"
#include "worker/engine/engine.h"

namespace sluice::worker {

struct Dropped {};  // Nothing to be written: the lease is lost.

struct JobEnd {
  std::string key;  // start_key of the claim.
  std::variant<Succeeded, Failed, Released, Dropped> how;
  int refusals = 0;  // How often the store refused to write this end.
};

// kInvalid is the request's own fault and permanent; everything else is this attempt's.
Failed failure_of(const Error& error);
JobEnd end_of(Completion&& completion);
// What is written instead of an end that the store refuses; the second one leaves room for another attempt.
Failed refused(int refusals);

// What the engine has to do for a claimed job: the stored request, its prompt rendered and counted. The error
// is kInvalid if the request can never succeed. `queue_deep`: jobs that allow it are computed with the faster
// weights. Costs tokenization; any thread.
Result<Work> prepare_work(const Engine& engine, const ClaimedJob& job, bool queue_deep);

}  // namespace sluice::worker
