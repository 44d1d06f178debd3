#include "common/store/mysql_answer_store.h"

#include <utility>

#include "common/store/job_rows.h"

namespace sluice {

Result<std::optional<Answer>> MysqlAnswerStore::find_answer(const TenantId& tenant, const std::string& key,
                                                            Deadline deadline) {
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<std::optional<Answer>> {
    // Locked, so that its result isn't erased between the two.
    Sql known("SELECT known_id, " SLUICE_MICROS("expires_at") " FROM answer WHERE tenant_id = ? AND "
              "key_hash = ? AND known_id IS NOT NULL LOCK IN SHARE MODE");
    SLUICE_ASSIGN(const Rows rows, db.query(known.bind(tenant.value).bind(key), deadline));
    if (rows.empty()) return std::optional<Answer>();
    Sql select(store::kSelectJob);
    select.text("WHERE j.id = ?").bind(rows.front().text(0));
    SLUICE_ASSIGN(const Rows jobs, db.query(select, deadline));
    if (jobs.empty()) return std::optional<Answer>();
    Job job = store::read_job(jobs.front());
    if (!job.result) return std::optional<Answer>();
    return std::optional(Answer{std::move(job.id), rows.front().int64(1), std::move(*job.result)});
  });
}

Result<int> MysqlAnswerStore::forget_answers(int limit, Deadline deadline) {
  Sql sql(
      "DELETE FROM answer WHERE expires_at <= UTC_TIMESTAMP(6) - INTERVAL ? SECOND AND leader_id IS NULL "
      "ORDER BY expires_at LIMIT ?");
  sql.bind(kStaleAnswerS).bind(limit);
  SLUICE_ASSIGN(const std::uint64_t deleted,
                pool_.transaction(deadline, [&](MysqlConnection& db) { return db.execute(sql, deadline); }));
  return static_cast<int>(deleted);
}

}  // namespace sluice
