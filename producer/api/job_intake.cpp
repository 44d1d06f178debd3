#include "producer/api/job_intake.h"

#include <array>
#include <string>
#include <utility>

#include "common/http/error_response.h"
#include "producer/api/answer_key.h"
#include "producer/api/answers.h"
#include "producer/api/sessions.h"

namespace sluice::producer {

namespace {
constexpr int kBusyRetryS = 1;
}  // namespace

NewJob new_job(JobId id, const TenantId& tenant, JobSpec&& spec) {
  NewJob fresh;
  fresh.job.id = std::move(id);
  fresh.job.tenant = tenant;
  fresh.job.model = spec.model->name();
  fresh.job.priority = spec.priority;
  fresh.job.surface = spec.surface;
  fresh.job.metadata_json = std::move(spec.metadata_json);
  fresh.job.callback_url = std::move(spec.callback_url);
  fresh.request_json = job_request_to_json(spec.request);
  fresh.prompt_tokens = spec.prompt_tokens;
  fresh.tokens_max = spec.tokens_max;
  fresh.expires_in_s = spec.expires_in_s;
  return fresh;
}

Submission JobIntake::make(const TenantId& tenant, std::vector<JobSpec> specs, bool as_batch) {
  const int shard = shard_of_tenant(tenant);
  Submission submission;
  if (as_batch) submission.batch = NewBatch{ids_.make<BatchId>(shard), static_cast<int>(specs.size())};
  submission.jobs.reserve(specs.size());
  for (JobSpec& spec : specs) {
    std::string key;
    if (answers_ != nullptr && shares_answer(spec)) key = answer_key(spec, answers_->config().revision);
    const bool stream = spec.request.parameters.stream;
    const bool allow_stale = spec.allow_stale;
    NewJob fresh = new_job(ids_.make<JobId>(shard), tenant, std::move(spec));
    if (!key.empty()) {
      fresh.answer_key = std::move(key);
      fresh.answer_keep_s = answers_->config().keep.count();
      fresh.stale_will_do = allow_stale;
      fresh.may_follow = !stream;  // Who reads along wants the text as it comes.
    }
    if (submission.batch) fresh.job.batch_id = submission.batch->id;
    submission.jobs.push_back(std::move(fresh));
  }
  return submission;
}

std::optional<http::Response> JobIntake::submit(Submission submission, Done done,
                                                SubmitCoalescer::GivenUp given_up) {
  if (answers_ != nullptr) answers_->look(submission);
  const auto admitted = admission_.admit(submission.jobs);
  if (!admitted && !(answers_ != nullptr && answers_->look_for_stale(submission))) {
    const Admission::Refused& full = admitted.error();
    count_refused(full.code);
    return http::busy_response(full.status, full.code, full.message, full.retry_after_s);
  }
  const bool taken = coalescer_.submit(
      std::move(submission),
      [this, done = std::move(done)](Status status, Submission&& written) {
        if (status) {
          count_accepted(written);
          if (answers_ != nullptr) answers_->note(written);
          done(std::move(written));
        } else {
          done(tl::unexpected(not_taken(status.error(), written)));
        }
      },
      std::move(given_up));
  if (taken) return std::nullopt;
  count_refused("overloaded");
  return http::busy_response(503, "overloaded", "Too many submissions wait to be written.", kBusyRetryS);
}

JobIntake::NotTaken JobIntake::not_taken(const Error& error, const Submission& submission) const {
  NotTaken out;
  if (submission.session && submission.session->overtaken) {
    out.answer = session_busy();
    count_refused("session_busy");
    return out;
  }
  if (error.code == ErrorCode::kConflict && submission.claim) {
    auto same = claims_.settle(*submission.claim, submission.existing);
    if (same) {
      out.existing = std::move(*same);
      return out;
    }
    out.answer = std::move(same.error());
  } else {
    out.answer = submit_failure(error, submission);
    out.may_be_there = error.code == ErrorCode::kOutcomeUnknown;
  }
  count_refused(error_code_name(error.code));
  return out;
}

// A batch takes one line, whose id the lines about its jobs repeat.
void JobIntake::count_accepted(const Submission& submission) const {
  std::array<int, kPriorities> accepted{};
  for (const NewJob& fresh : submission.jobs) ++accepted[static_cast<std::size_t>(fresh.job.priority)];
  for (int p = 0; p < kPriorities; ++p) {
    const int count = accepted[static_cast<std::size_t>(p)];
    if (count > 0) metrics_.accepted.with({priority_name(static_cast<Priority>(p))}).add(count);
  }
  const Job& first = submission.jobs.front().job;
  if (submission.batch) {
    log_.info("batch_accepted", {{"batch_id", submission.batch->id.value},
                                 {"tenant", first.tenant.value},
                                 {"jobs", submission.jobs.size()}});
  } else {
    log_.info("job_accepted", {{"job_id", first.id.value},
                               {"tenant", first.tenant.value},
                               {"model", first.model},
                               {"priority", priority_name(first.priority)}});
  }
}

}  // namespace sluice::producer
