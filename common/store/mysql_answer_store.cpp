#include "common/store/mysql_answer_store.h"

#include <utility>

#include "common/store/job_rows.h"

namespace sluice {

Result<std::optional<Answer>> MysqlAnswerStore::find_answer(const TenantId& tenant, const std::string& key,
                                                            Deadline deadline) {
  Sql known("SELECT " SLUICE_MICROS(
      "expires_at") " FROM answer WHERE tenant_id = ? AND key_hash = ? AND known_id IS NOT NULL");
  SLUICE_ASSIGN(const Rows rows, pool_.query(known.bind(tenant.value).bind(key), deadline));
  if (rows.empty()) return std::optional<Answer>();
  // Key and text in one statement: a job that is erased meanwhile isn't known any more.
  Sql select(store::kSelectJob);
  select.text("JOIN answer a ON a.known_id = j.id WHERE a.tenant_id = ? AND a.key_hash = ?");
  SLUICE_ASSIGN(const Rows jobs, pool_.query(select.bind(tenant.value).bind(key), deadline));
  if (jobs.empty()) return std::optional<Answer>();
  Job job = store::read_job(jobs.front());
  if (!job.result) return std::optional<Answer>();
  return std::optional(Answer{std::move(job.id), rows.front().int64(0), std::move(*job.result)});
}

Result<int> MysqlAnswerStore::forget_answers(int limit, Deadline deadline) {
  Sql sql(
      "DELETE FROM answer WHERE expires_at <= UTC_TIMESTAMP(6) - INTERVAL ? SECOND AND leader_id IS NULL "
      "ORDER BY expires_at LIMIT ?");
  return store::delete_some(pool_, sql.bind(kStaleAnswerS).bind(limit), deadline);
}

}  // namespace sluice
