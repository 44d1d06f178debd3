// The way of a request for jobs into the database, whatever shape it came in: specs become a submission, jobs
// whose result is known get it, the others are admitted, and all are committed together with others'.
//
// Safe for concurrent use. What it is given must outlive it. Without `answers` no job shares its result.
#pragma once

#include <functional>
#include <optional>
#include <tl/expected.hpp>
#include <vector>

#include "common/http/message.h"
#include "common/ids/ids.h"
#include "common/log/log.h"
#include "producer/api/admission.h"
#include "producer/api/request_claims.h"
#include "producer/api/submit_request.h"
#include "producer/cache/answer_cache.h"
#include "producer/metrics/producer_metrics.h"
#include "producer/submit/coalescer.h"

namespace sluice::producer {

// The job that a spec asks for; whoever puts it into a batch says so.
NewJob new_job(JobId id, const TenantId& tenant, JobSpec&& spec);

class JobIntake {
 public:
  JobIntake(SubmitCoalescer& coalescer, Admission& admission, const RequestClaims& claims, IdMaker& ids,
            Log log, ApiMetrics metrics, AnswerCache* answers = nullptr)
      : coalescer_(coalescer),
        admission_(admission),
        claims_(claims),
        ids_(ids),
        log_(std::move(log)),
        metrics_(std::move(metrics)),
        answers_(answers) {}

  // With ids of their own; `as_batch`: under a common one as well.
  Submission make(const TenantId& tenant, std::vector<JobSpec> specs, bool as_batch);

  struct NotTaken {
    http::Response answer;
    std::optional<IdempotencyRecord> existing;  // The same request made this before: that is the answer.
    bool may_be_there = false;  // The commit's outcome isn't known: it may have been taken all the same.
  };
  // The committed submission, or what its client gets instead.
  using Outcome = tl::expected<Submission, NotTaken>;
  // Runs once, on a committer's thread: must be quick.
  using Done = std::function<void(Outcome)>;
  // Nullopt: `done` will run. Else that is the answer, nothing was done, and it won't.
  std::optional<http::Response> submit(Submission submission, Done done,
                                       SubmitCoalescer::GivenUp given_up = {});

  // Counts a refusal by its reason.
  void count_refused(std::string_view reason) const { metrics_.rejected.with({reason}).add(); }

 private:
  NotTaken not_taken(const Error& error, const Submission& submission) const;
  void count_accepted(const Submission& submission) const;

  SubmitCoalescer& coalescer_;
  Admission& admission_;
  const RequestClaims& claims_;
  IdMaker& ids_;
  const Log log_;
  const ApiMetrics metrics_;
  AnswerCache* const answers_;
};

}  // namespace sluice::producer
