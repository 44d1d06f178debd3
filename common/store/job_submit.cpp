// Accepting jobs: many requests' rows in one transaction.
#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "common/base/failpoint.h"
#include "common/store/answer_rows.h"
#include "common/store/idempotency_rows.h"
#include "common/store/job_rows.h"
#include "common/store/mysql_job_store.h"
#include "common/store/session_rows.h"

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
      "tokens_max, callback_url, surface, answer_key, leader_id, created_at, expires_at, expire_due, "
      "publish_due, published_at) VALUES ";
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
  const std::int64_t republish_us =
      std::chrono::duration_cast<std::chrono::microseconds>(rules.republish_after).count();
  for (const Submission& submission : submissions) {
    for (const NewJob& fresh : submission.jobs) {
      const Job& job = fresh.job;
      jobs.text(rows == 0 ? "(" : ",(")
          .param(job.id.value)
          .text(",")
          .param(shard_of_id(job.id.value).value_or(0));
      jobs.text(",").param(job.tenant.value).text(",").param(store::null_if_empty(job.batch_id.value));
      jobs.text(",").param(job.model).text(",").param(static_cast<int>(job.priority)).text(",'queued',");
      jobs.param(rules.attempts_max).text(",").param(fresh.prompt_tokens).text(",").param(fresh.tokens_max);
      jobs.text(",").param(store::null_if_empty(job.callback_url)).text(",").param(surface_name(job.surface));
      jobs.text(",").param(store::null_if_empty(fresh.answer_key));
      jobs.text(",").param(store::null_if_empty(job.leader_id.value));
      jobs.text(",").param(now.text);
      jobs.text(",").param(now.text).text(" + INTERVAL ").param(fresh.expires_in_s).text(" SECOND");
      jobs.text(",").param(now.text).text(" + INTERVAL ").param(fresh.expires_in_s).text(" SECOND,");
      if (fresh.is_to_run() && fresh.publish_reserved) {
        jobs.param(now.text)
            .text(" + INTERVAL ")
            .param(republish_us)
            .text(" MICROSECOND,")
            .param(now.text)
            .text(")");
      } else {
        jobs.param(now.text).text(",NULL)");
      }
      payloads.row(job.id.value, fresh.request_json, store::null_if_empty(job.metadata_json));
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
  if (submissions.empty()) return answers;
  const auto has_key = [](const Submission& one) { return one.claim && !one.claim->key_hash.empty(); };
  if (std::none_of(submissions.begin(), submissions.end(), has_key)) {
    submit_bisecting(submissions, answers, deadline);
    return answers;
  }
  // Of several with one key the first goes first; the others find it taken, or take their turn if it failed.
  std::vector<std::size_t> left(submissions.size());
  std::iota(left.begin(), left.end(), 0);
  while (!left.empty()) {
    std::set<std::pair<std::string, std::string>> keys;
    std::vector<std::size_t> turn;
    std::vector<std::size_t> later;
    for (const std::size_t index : left) {
      const Submission& one = submissions[index];
      const bool first =
          !has_key(one) || keys.emplace(one.jobs.front().job.tenant.value, one.claim->key_hash).second;
      (first ? turn : later).push_back(index);
    }
    left = std::move(later);
    std::vector<Submission> together;
    together.reserve(turn.size());
    for (const std::size_t index : turn) together.push_back(std::move(submissions[index]));
    std::vector<Status> outcome(turn.size());
    submit_unclaimed(together, outcome, deadline);
    for (std::size_t i = 0; i < turn.size(); ++i) {
      submissions[turn[i]] = std::move(together[i]);
      answers[turn[i]] = std::move(outcome[i]);
    }
  }
  return answers;
}

Status MysqlJobStore::find_existing(std::span<Submission> submissions, Deadline deadline) {
  std::map<std::pair<std::string, std::string>, Submission*> by_key;
  Sql sql(
      "SELECT tenant_id, key_hash, resource_id, fingerprint FROM idempotency_key WHERE "
      "expires_at > UTC_TIMESTAMP(6) AND (tenant_id, key_hash) IN (");
  for (Submission& one : submissions) {
    if (!one.claim || one.claim->key_hash.empty()) continue;
    const std::string& tenant = one.jobs.front().job.tenant.value;
    sql.text(by_key.empty() ? "(" : ",(").param(tenant).text(",").param(one.claim->key_hash).text(")");
    by_key.emplace(std::pair(tenant, one.claim->key_hash), &one);
  }
  if (by_key.empty()) return {};
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql.text(")"), deadline));
  for (const Row row : rows) {
    by_key.at({row.str(0), row.str(1)})->existing = IdempotencyRecord{row.str(2), row.str(3)};
  }
  return {};
}

// Each key is there once. Those that are taken already cost one look for all, and no transaction.
void MysqlJobStore::submit_unclaimed(std::span<Submission> submissions, std::span<Status> answers,
                                     Deadline deadline) {
  if (Status found = find_existing(submissions, deadline); !found) {
    std::fill(answers.begin(), answers.end(), found);
    return;
  }
  std::vector<std::size_t> free;
  std::vector<Submission> together;
  for (std::size_t i = 0; i < submissions.size(); ++i) {
    if (submissions[i].existing) {
      answers[i] = fail(ErrorCode::kConflict, "the key is taken");
    } else {
      free.push_back(i);
      together.push_back(std::move(submissions[i]));
    }
  }
  std::vector<Status> outcome(free.size());
  if (!free.empty()) submit_bisecting(together, outcome, deadline);
  for (std::size_t i = 0; i < free.size(); ++i) {
    Submission& one = submissions[free[i]] = std::move(together[i]);
    const bool taken = !outcome[i] && duplicate_key(outcome[i].error()) == store::kIdempotencyOnce;
    // Another producer was faster. If what it made is gone again by now, nobody knows yet.
    if (taken) (void)find_existing(std::span(&one, 1), deadline);
    answers[free[i]] = std::move(outcome[i]);
  }
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
  std::vector<store::ClaimRow> claims;
  for (Submission& one : submissions) {
    if (one.session) one.session->overtaken = false;
    if (one.claim) claims.push_back({one.jobs.front().job.tenant, *one.claim, one.resource_id()});
  }
  const auto insert = [&](MysqlConnection& db) -> Result<bool> {
    SLUICE_ASSIGN(at, store::db_now(db, deadline));
    SLUICE_TRY(store::insert_claims(db, at, claims, deadline));
    SLUICE_TRY(store::join_answers(db, at, submissions, deadline));
    SLUICE_TRY(store::insert_submissions(db, at, submissions, rules_, deadline));
    SLUICE_TRY(store::insert_followers(db, submissions, deadline));
    SLUICE_TRY(store::end_answered(db, at, submissions, ids_, deadline));
    SLUICE_TRY(store::write_turns(db, at, submissions, deadline));
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
      if (!fresh.answer) continue;
      fresh.job.state = JobState::kSucceeded;
      fresh.job.finished_us = at.us;
      fresh.job.result = fresh.answer->result;
    }
  }
  return {};
}

}  // namespace sluice
