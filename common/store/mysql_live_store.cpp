#include "common/store/mysql_live_store.h"

#include "common/store/fleet_store.h"
#include "common/store/job_rows.h"

namespace sluice {

Result<std::vector<JobGlance>> MysqlLiveStore::glance(std::span<const JobId> ids, Deadline deadline) {
  std::vector<JobGlance> glances;
  if (ids.empty()) return glances;
  std::vector<std::string_view> values;
  values.reserve(ids.size());
  for (const JobId& id : ids) values.push_back(id.value);
  Sql sql("SELECT id, tenant_id, model, priority, state, generation, attempt, " SLUICE_MICROS(
      "started_at") ", prompt_tokens, tokens_max FROM job WHERE id IN ");
  sql.list(values);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  glances.reserve(rows.size());
  for (const Row row : rows) {
    JobGlance glance;
    glance.id.value = row.str(0);
    glance.tenant.value = row.str(1);
    glance.model = row.str(2);
    glance.priority = static_cast<Priority>(row.int64(3));
    glance.state = store::read_state(row.text(4));
    glance.generation = row.int64(5);
    glance.attempt = static_cast<int>(row.int64(6));
    glance.started_us = row.int64(7);
    glance.prompt_tokens = row.int64(8);
    glance.tokens_max = row.int64(9);
    glances.push_back(std::move(glance));
  }
  return glances;
}

Result<std::vector<WaitingJob>> MysqlLiveStore::queue_front(const std::string& model, Priority priority,
                                                            int limit, Deadline deadline) {
  Sql sql(
      "SELECT id, tokens_max FROM job FORCE INDEX (job_queue) WHERE model = ? AND priority = ? AND "
      "queue_rank IN (0, 1, 2) ORDER BY queue_rank, tenant_id, publish_due LIMIT ?");
  sql.bind(model).bind(static_cast<int>(priority)).bind(limit);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  std::vector<WaitingJob> jobs;
  jobs.reserve(rows.size());
  for (const Row row : rows) jobs.push_back({JobId{row.str(0)}, row.int64(1)});
  return jobs;
}

Result<FleetRate> MysqlLiveStore::fleet_rate(const std::string& model, Deadline deadline) {
  Sql sql(
      "SELECT CAST(COALESCE(SUM(jobs_max), 0) AS SIGNED), CAST(COALESCE(SUM(held_jobs), 0) AS SIGNED), "
      "CAST(COALESCE(SUM(tokens_per_s), 0) AS SIGNED), "
      "CAST(COALESCE(AVG(NULLIF(job_tokens_per_s, 0)), 0) AS SIGNED) FROM worker "
      "WHERE model = ? AND NOT draining AND seen_at > UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND");
  sql.bind(model).bind(std::chrono::microseconds(kWorkerSilentAfter).count());
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  const Row row = rows.front();
  return FleetRate{static_cast<int>(row.int64(0)), static_cast<int>(row.int64(1)), row.int64(2),
                   row.int64(3)};
}

}  // namespace sluice
