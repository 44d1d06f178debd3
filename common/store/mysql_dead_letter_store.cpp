#include "common/store/mysql_dead_letter_store.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "common/base/failpoint.h"
#include "common/store/audit_rows.h"
#include "common/store/dead_letter_rows.h"
#include "common/store/job_rows.h"

namespace sluice {

namespace {

constexpr const char* kSelectAttempt =
    "SELECT job_id, generation, attempt, worker_id, " SLUICE_MICROS("started_at") ", " SLUICE_MICROS(
        "ended_at") ", error_code, error_message FROM job_attempt WHERE job_id IN ";

AttemptRecord read_attempt(const Row& row) {
  return AttemptRecord{
      row.int64(1), static_cast<int>(row.int64(2)), row.str(3), row.int64(4), row.int64(5), row.str(6),
      row.str(7)};
}

Error no_letter(const JobId& id) {
  return Error{ErrorCode::kNotFound, "no dead letter of job " + id.value};
}

}  // namespace

Result<std::vector<DeadLetter>> MysqlDeadLetterStore::list_letters(const DeadLetterQuery& query,
                                                                   Deadline deadline) {
  Sql sql(store::kSelectLetter);
  sql.text("WHERE TRUE");
  if (query.state) sql.text(" AND d.state = ?").bind(letter_state_name(*query.state));
  store::add_filter(sql, query.filter);
  if (query.after) {
    // Handled meanwhile or not, it still says where the next page begins.
    const LetterRef& after = *query.after;
    Sql place("SELECT died_at FROM dead_letter WHERE job_id = ?");
    place.bind(after.job_id.value);
    if (after.generation != 0) place.text(" AND generation = ?").bind(after.generation);
    place.text(" ORDER BY generation DESC LIMIT 1");
    SLUICE_ASSIGN(const Rows last, pool_.query(place, deadline));
    if (last.empty()) return fail(no_letter(after.job_id));
    sql.text(" AND d.died_at <= ? AND (d.died_at < ? OR d.job_id < ?)")
        .bind(last.front().text(0))
        .bind(last.front().text(0))
        .bind(after.job_id.value);
  }
  sql.text(" ORDER BY d.died_at DESC, d.job_id DESC LIMIT ?").bind(query.limit);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  std::vector<DeadLetter> letters;
  letters.reserve(rows.size());
  for (const Row row : rows) letters.push_back(store::read_letter(row));
  return letters;
}

Result<std::vector<DeadLetterGroup>> MysqlDeadLetterStore::group_letters(const DeadLetterFilter& filter,
                                                                         int limit, Deadline deadline) {
  // The last letter of a group is found through the greatest (died_at, job_id) of it, as one text.
  Sql sql(
      "SELECT d.fingerprint, d.reason, d.error_code, COUNT(*), " SLUICE_MICROS("MIN(d.died_at)") ", " SLUICE_MICROS(
          "MAX(d.died_at)") ", MAX(CONCAT(d.died_at, d.job_id)) FROM dead_letter d WHERE d.state = 'dead'");
  store::add_filter(sql, filter);
  sql.text(" GROUP BY d.fingerprint, d.reason, d.error_code ORDER BY COUNT(*) DESC, d.fingerprint LIMIT ?")
      .bind(limit);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  std::vector<DeadLetterGroup> groups;
  std::vector<std::string> last_jobs;
  for (const Row row : rows) {
    DeadLetterGroup group;
    group.fingerprint = row.str(0);
    const auto reason = dead_reason_from(row.text(1));
    if (!reason) return fail(ErrorCode::kCorrupt, "unknown reason of a dead letter");
    group.reason = *reason;
    group.error_code = row.str(2);
    group.count = row.int64(3);
    group.first_us = row.int64(4);
    group.last_us = row.int64(5);
    const std::string_view last = row.text(6);
    group.last_job.value = last.substr(last.find(JobIdTag::kPrefix));
    last_jobs.push_back(group.last_job.value);
    groups.push_back(std::move(group));
  }
  if (groups.empty()) return groups;
  Sql messages("SELECT job_id, error_message FROM dead_letter WHERE job_id IN ");
  messages.list(last_jobs).text(" ORDER BY generation");
  SLUICE_ASSIGN(const Rows texts, pool_.query(messages, deadline));
  std::unordered_map<std::string_view, std::string_view> by_job;
  for (const Row row : texts) by_job[row.text(0)] = row.text(1);
  for (DeadLetterGroup& group : groups) group.error_message = by_job[group.last_job.value];
  return groups;
}

Result<DeadLetterCount> MysqlDeadLetterStore::count_letters(const DeadLetterFilter& filter, int redrives_max,
                                                            Deadline deadline) {
  Sql sql("SELECT COUNT(*), COALESCE(SUM(d.generation > ?), 0) FROM dead_letter d WHERE d.state = 'dead'");
  sql.bind(redrives_max);
  store::add_filter(sql, filter);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  return DeadLetterCount{rows.front().int64(0), rows.front().int64(1)};
}

Result<std::vector<DeadLetterDetail>> MysqlDeadLetterStore::expand_letters(std::span<const JobId> ids,
                                                                           Deadline deadline) {
  std::vector<DeadLetterDetail> details;
  if (ids.empty()) return details;
  std::vector<std::string_view> names;
  for (const JobId& id : ids) names.push_back(id.value);
  Sql letters(store::kSelectLetter);
  letters.text("WHERE d.job_id IN ").list(names).text(" ORDER BY d.generation");
  SLUICE_ASSIGN(const Rows letter_rows, pool_.query(letters, deadline));
  std::unordered_map<std::string, DeadLetterDetail> by_job;
  for (const Row row : letter_rows) {
    DeadLetter letter = store::read_letter(row);
    by_job[letter.job_id.value].letter = std::move(letter);  // The last generation wins.
  }
  Sql jobs(store::kSelectJob);
  jobs.text("WHERE j.id IN ").list(names);
  SLUICE_ASSIGN(const Rows job_rows, pool_.query(jobs, deadline));
  for (const Row row : job_rows) {
    if (const auto found = by_job.find(row.str(0)); found != by_job.end())
      found->second.job = store::read_job(row);
  }
  Sql requests("SELECT job_id, request FROM job_payload WHERE job_id IN ");
  requests.list(names);
  SLUICE_ASSIGN(const Rows request_rows, pool_.query(requests, deadline));
  for (const Row row : request_rows) {
    if (const auto found = by_job.find(row.str(0)); found != by_job.end())
      found->second.request_json = row.str(1);
  }
  Sql attempts(kSelectAttempt);
  attempts.list(names).text(" ORDER BY job_id, generation, attempt");
  SLUICE_ASSIGN(const Rows attempt_rows, pool_.query(attempts, deadline));
  for (const Row row : attempt_rows) {
    if (const auto found = by_job.find(row.str(0)); found != by_job.end())
      found->second.attempts.push_back(read_attempt(row));
  }
  for (const JobId& id : ids) {
    if (const auto found = by_job.find(id.value); found != by_job.end()) {
      details.push_back(std::move(found->second));
      by_job.erase(found);
    }
  }
  return details;
}

Result<DeadLetterDetail> MysqlDeadLetterStore::show_letter(const JobId& id, Deadline deadline) {
  SLUICE_ASSIGN(auto details, expand_letters(std::span(&id, 1), deadline));
  if (details.empty()) return fail(no_letter(id));
  DeadLetterDetail detail = std::move(details.front());
  Sql earlier(store::kSelectLetter);
  earlier.text("WHERE d.job_id = ? AND d.generation < ? ORDER BY d.generation")
      .bind(id.value)
      .bind(detail.letter.generation);
  SLUICE_ASSIGN(const Rows rows, pool_.query(earlier, deadline));
  for (const Row row : rows) detail.earlier.push_back(store::read_letter(row));
  SLUICE_ASSIGN(
      const Rows origin,
      pool_.query(Sql("SELECT job_id FROM dead_letter WHERE replayed_as = ?").bind(id.value), deadline));
  if (!origin.empty()) detail.replay_of.value = origin.front().str(0);
  return detail;
}

Status MysqlDeadLetterStore::replay_letter(const LetterRef& letter, NewJob& fresh, const Actor& actor,
                                           std::string changes_json, Deadline deadline) {
  std::vector<Submission> submissions(1);
  submissions.front().jobs.push_back(fresh);
  store::DbNow now;
  const auto write = [&](MysqlConnection& db) -> Result<bool> {
    SLUICE_ASSIGN(now, store::db_now(db, deadline));
    Sql select(
        "SELECT state, COALESCE(replayed_as, '') FROM dead_letter WHERE job_id = ? AND generation = ? FOR "
        "UPDATE");
    select.bind(letter.job_id.value).bind(letter.generation);
    SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
    if (rows.empty()) return fail(no_letter(letter.job_id));
    // A repetition after a commit whose answer was lost finds its own work.
    if (rows.front().text(1) == fresh.job.id.value) return true;
    if (rows.front().text(0) != "dead")
      return fail(ErrorCode::kConflict, "the letter is " + rows.front().str(0));
    SLUICE_TRY(store::insert_submissions(db, now, submissions, rules_, deadline));
    Sql update(
        "UPDATE dead_letter SET state = 'replayed', handled_at = ?, replayed_as = ? WHERE job_id = ? AND "
        "generation = ?");
    update.bind(now.text).bind(fresh.job.id.value).bind(letter.job_id.value).bind(letter.generation);
    if (auto updated = db.execute(update, deadline); !updated) return fail(updated.error());
    SLUICE_TRY(store::write_audit(
        db, now, AuditEntry{{}, 0, actor, "dead_letters.replay", letter.job_id.value, changes_json, 1}, ids_,
        deadline));
    SLUICE_FAILPOINT("store.replay_before_commit");
    return true;
  };
  auto done = pool_.transaction(deadline, write);
  if (!done && done.error().code == ErrorCode::kOutcomeUnknown) done = pool_.transaction(deadline, write);
  if (!done) return fail(std::move(done).error());
  fresh.job.state = JobState::kQueued;
  fresh.job.created_us = now.us;
  fresh.job.expires_us = now.us + fresh.expires_in_s * 1'000'000;
  return {};
}

Result<std::vector<LetterRef>> MysqlDeadLetterStore::due_copies(int limit, Deadline deadline) {
  SLUICE_ASSIGN(const Rows rows,
                pool_.query(Sql("SELECT job_id, generation + 1 FROM dead_letter WHERE copy_due <= "
                                "UTC_TIMESTAMP(6) ORDER BY copy_due LIMIT ?")
                                .bind(limit),
                            deadline));
  std::vector<LetterRef> jobs;
  for (const Row row : rows) jobs.push_back(LetterRef{JobId{row.str(0)}, row.int64(1)});
  return jobs;
}

Status MysqlDeadLetterStore::mark_copies(std::span<const LetterRef> jobs, Deadline deadline) {
  // By generation, mostly one: a job that has been redriven again meanwhile has a copy of its own to outdate.
  std::map<std::int64_t, std::vector<std::string_view>> groups;
  for (const LetterRef& job : jobs) groups[job.generation - 1].push_back(job.job_id.value);
  for (auto& [generation, ids] : groups) {
    std::sort(ids.begin(), ids.end());
    Sql sql("UPDATE dead_letter SET copy_due = NULL WHERE generation = ? AND job_id IN ");
    sql.bind(generation).list(ids);
    if (auto done = pool_.execute(sql, deadline); !done) return fail(std::move(done).error());
  }
  return {};
}

}  // namespace sluice
