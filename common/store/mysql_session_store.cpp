#include "common/store/mysql_session_store.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "common/store/session_rows.h"

namespace sluice {

namespace {

Status overtaken(SessionTurn& turn) {
  turn.overtaken = true;
  return fail(ErrorCode::kConflict, "another turn of the session was faster");
}

Status begin_session(MysqlConnection& db, const store::DbNow& now, const Job& job, SessionTurn& turn,
                     Deadline deadline) {
  // One whose time is over makes room, should it not have been swept yet.
  Sql outdated("DELETE FROM session WHERE tenant_id = ? AND session_id = ? AND expires_at <= ?");
  outdated.bind(job.tenant.value).bind(turn.session_id).bind(now.text);
  if (auto deleted = db.execute(outdated, deadline); !deleted) return fail(deleted.error());
  Sql insert(
      "INSERT INTO session (tenant_id, session_id, job_id, base_job_id, turn, expires_at) VALUES "
      "(?, ?, ?, ?, ?, ? + INTERVAL ? SECOND)");
  insert.bind(job.tenant.value).bind(turn.session_id).bind(job.id.value);
  insert.bind(store::null_if_empty(turn.base.value)).bind(turn.turn).bind(now.text).bind(turn.keep_s);
  auto inserted = db.execute(insert, deadline);
  if (inserted) return {};
  return inserted.error().code == ErrorCode::kConflict ? overtaken(turn) : fail(inserted.error());
}

Status go_on(MysqlConnection& db, const store::DbNow& now, const Job& job, SessionTurn& turn,
             Deadline deadline) {
  Sql update(
      "UPDATE session SET job_id = ?, base_job_id = ?, turn = ?, expires_at = ? + INTERVAL ? SECOND "
      "WHERE tenant_id = ? AND session_id = ? AND job_id = ?");
  update.bind(job.id.value).bind(store::null_if_empty(turn.base.value)).bind(turn.turn);
  update.bind(now.text).bind(turn.keep_s);
  update.bind(job.tenant.value).bind(turn.session_id).bind(turn.after.value);
  auto updated = db.execute(update, deadline);
  if (!updated) return fail(updated.error());
  return *updated == 1 ? Status() : overtaken(turn);
}

}  // namespace

namespace store {

Status write_turns(MysqlConnection& db, const DbNow& now, std::span<Submission> submissions,
                   Deadline deadline) {
  std::vector<Submission*> turns;
  for (Submission& one : submissions) {
    if (one.session) turns.push_back(&one);
  }
  // In one order everywhere: two transactions that want the same sessions wait, and don't deadlock.
  std::sort(turns.begin(), turns.end(), [](const Submission* a, const Submission* b) {
    return std::tie(a->jobs.front().job.tenant.value, a->session->session_id) <
           std::tie(b->jobs.front().job.tenant.value, b->session->session_id);
  });
  for (Submission* one : turns) {
    const auto write = one->session->after.empty() ? begin_session : go_on;
    SLUICE_TRY(write(db, now, one->jobs.front().job, *one->session, deadline));
  }
  return {};
}

}  // namespace store

Result<std::optional<SessionRecord>> MysqlSessionStore::find_session(const TenantId& tenant,
                                                                     const std::string& session_id,
                                                                     Deadline deadline) {
  Sql sql(
      "SELECT job_id, base_job_id, turn FROM session WHERE tenant_id = ? AND session_id = ? AND "
      "expires_at > UTC_TIMESTAMP(6)");
  sql.bind(tenant.value).bind(session_id);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  if (rows.empty()) return std::optional<SessionRecord>();
  const Row row = rows.front();
  return std::optional(SessionRecord{JobId{row.str(0)}, JobId{row.str_or(1, "")}, row.int64(2)});
}

Result<int> MysqlSessionStore::forget_sessions(int limit, Deadline deadline) {
  Sql sql("DELETE FROM session WHERE expires_at <= UTC_TIMESTAMP(6) ORDER BY expires_at LIMIT ?");
  return store::delete_some(pool_, sql.bind(limit), deadline);
}

}  // namespace sluice
