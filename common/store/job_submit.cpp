// Accepting jobs: many requests' rows in one transaction.
#include <algorithm>

#include "common/base/failpoint.h"
#include "common/store/job_rows.h"
#include "common/store/mysql_job_store.h"

namespace sluice {

namespace {

constexpr std::size_t kStatementBytes = 2'000'000;

Status insert_batches(MysqlConnection& db, const store::DbNow& now, std::span<const Submission> submissions,
                      Deadline deadline) {
  Sql sql("INSERT INTO batch (id, shard, tenant_id, total, created_at) VALUES ");
  bool any = false;
  for (const Submission& submission : submissions) {
    if (!submission.batch) continue;
    const NewBatch& batch = *submission.batch;
    sql.row(batch.id.value, shard_of_id(batch.id.value).value_or(0), submission.jobs.front().job.tenant.value,
            batch.total, now.text);
    any = true;
  }
  if (!any) return {};
  auto done = db.execute(sql, deadline);
  if (!done) return fail(done.error());
  return {};
}

// Job and payload rows, in statements of bounded size.
Status insert_jobs(MysqlConnection& db, const store::DbNow& now, std::span<const Submission> submissions,
                   const JobRules& rules, Deadline deadline) {
  constexpr const char* kJob =
      "INSERT INTO job (id, shard, tenant_id, batch_id, model, priority, state, attempts_max, prompt_tokens, "
      "tokens_max, callback_url, surface, created_at, expires_at, expire_due, publish_due, published_at) "
      "VALUES ";
  constexpr const char* kPayload = "INSERT INTO job_payload (job_id, request, metadata) VALUES ";
  Sql jobs(kJob);
  Sql payloads(kPayload);
  int rows = 0;
  const auto flush = [&]() -> Status {
    if (rows == 0) return {};
    if (auto done = db.execute(jobs, deadline); !done) return fail(done.error());
    if (auto done = db.execute(payloads, deadline); !done) return fail(done.error());
    jobs = Sql(kJob);
    payloads = Sql(kPayload);
    rows = 0;
    return {};
  };
  const auto optional = [](const std::string& text) {
    return text.empty() ? std::nullopt : std::optional<std::string_view>(text);
  };
  const std::int64_t republish_us =
      std::chrono::duration_cast<std::chrono::microseconds>(rules.republish_after).count();
  for (const Submission& submission : submissions) {
    for (const NewJob& fresh : submission.jobs) {
      const Job& job = fresh.job;
      jobs.text(rows == 0 ? "(" : ",(")
          .param(job.id.value)
          .text(",")
          .param(shard_of_id(job.id.value).value_or(0));
      jobs.text(",").param(job.tenant.value).text(",").param(optional(job.batch_id.value));
      jobs.text(",").param(job.model).text(",").param(static_cast<int>(job.priority)).text(",'queued',");
      jobs.param(rules.attempts_max).text(",").param(fresh.prompt_tokens).text(",").param(fresh.tokens_max);
      jobs.text(",").param(optional(job.callback_url)).text(",").param(surface_name(job.surface));
      jobs.text(",").param(now.text);
      jobs.text(",").param(now.text).text(" + INTERVAL ").param(fresh.expires_in_s).text(" SECOND");
      jobs.text(",").param(now.text).text(" + INTERVAL ").param(fresh.expires_in_s).text(" SECOND,");
      if (fresh.publish_reserved) {
        jobs.param(now.text)
            .text(" + INTERVAL ")
            .param(republish_us)
            .text(" MICROSECOND,")
            .param(now.text)
            .text(")");
      } else {
        jobs.param(now.text).text(",NULL)");
      }
      payloads.row(job.id.value, fresh.request_json, optional(job.metadata_json));
      ++rows;
      if (jobs.size() + payloads.size() >= kStatementBytes) SLUICE_TRY(flush());
    }
  }
  return flush();
}

}  // namespace

namespace store {
Status insert_submissions(MysqlConnection& db, const DbNow& now, std::span<const Submission> submissions,
                          const JobRules& rules, Deadline deadline) {
  SLUICE_TRY(insert_batches(db, now, submissions, deadline));
  return insert_jobs(db, now, submissions, rules, deadline);
}
}  // namespace store

std::vector<Status> MysqlJobStore::submit(std::span<Submission> submissions, Deadline deadline) {
  std::vector<Status> answers(submissions.size());
  if (!submissions.empty()) submit_bisecting(submissions, answers, deadline);
  return answers;
}

void MysqlJobStore::submit_bisecting(std::span<Submission> submissions, std::span<Status> answers,
                                     Deadline deadline) {
  const Status status = submit_together(submissions, deadline);
  const bool refused =
      !status && (status.error().code == ErrorCode::kInvalid || status.error().code == ErrorCode::kConflict);
  if (!refused || submissions.size() == 1) {
    std::fill(answers.begin(), answers.end(), status);
    return;
  }
  const std::size_t half = submissions.size() / 2;
  submit_bisecting(submissions.first(half), answers.first(half), deadline);
  submit_bisecting(submissions.subspan(half), answers.subspan(half), deadline);
}

Status MysqlJobStore::submit_together(std::span<Submission> submissions, Deadline deadline) {
  store::DbNow at;
  const auto insert = [&](MysqlConnection& db) -> Result<bool> {
    SLUICE_ASSIGN(at, store::db_now(db, deadline));
    SLUICE_TRY(store::insert_submissions(db, at, submissions, rules_, deadline));
    SLUICE_FAILPOINT("store.submit_before_commit");
    return true;
  };
  auto done = pool_.transaction(deadline, insert);
  if (!done && done.error().code == ErrorCode::kOutcomeUnknown) {
    // Did it commit? Doing it again tells: the same ids either go in now, or are there already. A commit that
    // is still under way in a session that we lost holds its rows' locks, so this waits for it.
    auto again = pool_.transaction(deadline, insert);
    if (again) {
      done = std::move(again);
    } else if (again.error().code == ErrorCode::kConflict && duplicate_key(again.error()) == "PRIMARY") {
      auto created = pool_.query(Sql("SELECT " SLUICE_MICROS("created_at") " FROM job WHERE id = ?")
                                     .bind(submissions.front().jobs.front().job.id.value),
                                 deadline);
      if (!created || created->empty()) return fail(done.error());
      at.us = created->front().int64(0);
      done = true;
    } else {
      return fail(done.error());
    }
  }
  if (!done) return fail(done.error());
  for (Submission& submission : submissions) {
    for (NewJob& fresh : submission.jobs) {
      fresh.job.state = JobState::kQueued;
      fresh.job.created_us = at.us;
      fresh.job.expires_us = at.us + fresh.expires_in_s * 1'000'000;
    }
  }
  return {};
}

}  // namespace sluice
