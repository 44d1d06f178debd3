// Reading jobs, and what the dispatcher asks.
#include <algorithm>
#include <map>
#include <utility>

#include "common/store/job_rows.h"
#include "common/store/mysql_job_store.h"

namespace sluice {

namespace {
Error no_such_job(const JobId& id) {
  return Error{ErrorCode::kNotFound, "no job with id " + id.value};
}
}  // namespace

Result<Job> MysqlJobStore::get(const TenantId& tenant, const JobId& id, Deadline deadline) {
  Sql sql(store::kSelectJob);
  sql.text("WHERE j.id = ?").bind(id.value);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  if (rows.empty()) return fail(no_such_job(id));
  Job job = store::read_job(rows.front());
  if (!tenant.empty() && job.tenant != tenant) return fail(no_such_job(id));
  return job;
}

Result<std::string> MysqlJobStore::get_request(const TenantId& tenant, const JobId& id, Deadline deadline) {
  Sql sql("SELECT p.request, j.tenant_id FROM job j JOIN job_payload p ON p.job_id = j.id WHERE j.id = ?");
  sql.bind(id.value);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  if (rows.empty() || (!tenant.empty() && rows.front().text(1) != tenant.value)) return fail(no_such_job(id));
  return rows.front().str(0);
}

Result<std::vector<Job>> MysqlJobStore::get_final(std::span<const JobId> ids, Deadline deadline) {
  std::vector<Job> jobs;
  if (ids.empty()) return jobs;
  std::vector<std::string_view> values;
  values.reserve(ids.size());
  for (const JobId& id : ids) values.push_back(id.value);
  Sql sql(store::kSelectJob);
  sql.text("WHERE j.state NOT IN ('queued', 'running') AND j.id IN ").list(values);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  jobs.reserve(rows.size());
  for (const Row row : rows) jobs.push_back(store::read_job(row));
  return jobs;
}

Result<std::vector<Job>> MysqlJobStore::list(const JobFilter& filter, Deadline deadline) {
  Sql sql(store::kSelectJob);
  sql.text("WHERE TRUE");
  if (!filter.tenant.empty()) sql.text(" AND j.tenant_id = ?").bind(filter.tenant.value);
  if (!filter.batch_id.empty()) sql.text(" AND j.batch_id = ?").bind(filter.batch_id.value);
  if (!filter.model.empty()) sql.text(" AND j.model = ?").bind(filter.model);
  if (filter.state) sql.text(" AND j.state = ?").bind(job_state_name(*filter.state));
  if (!filter.after.empty()) sql.text(" AND j.id < ?").bind(filter.after.value);
  sql.text(" ORDER BY j.id DESC LIMIT ?").bind(filter.limit);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  std::vector<Job> jobs;
  jobs.reserve(rows.size());
  for (const Row row : rows) jobs.push_back(store::read_job(row));
  return jobs;
}

Result<std::int64_t> MysqlJobStore::count_queued(const std::string& model, Priority priority,
                                                 std::int64_t count_max, Deadline deadline) {
  Sql sql(
      "SELECT COUNT(*) FROM (SELECT 1 FROM job WHERE model = ? AND priority = ? AND publish_due IS NOT NULL "
      "LIMIT ?) AS waiting");
  sql.bind(model).bind(static_cast<int>(priority)).bind(count_max);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  return rows.front().int64(0);
}

Result<std::vector<DueTask>> MysqlJobStore::due_tasks(const std::string& model, Priority priority,
                                                      std::span<const int> shards, int limit,
                                                      Deadline deadline) {
  std::vector<DueTask> tasks;
  if (shards.empty() || limit <= 0) return tasks;
  Sql sql(
      "SELECT id, generation, attempt, TIMESTAMPDIFF(MICROSECOND, published_at, UTC_TIMESTAMP(6)) FROM job "
      "WHERE model = ? AND priority = ? AND publish_due <= UTC_TIMESTAMP(6)");
  sql.bind(model).bind(static_cast<int>(priority));
  // Asked once, whatever the number of rows: nothing of a paused model, no row of a paused tenant or batch.
  sql.text(" AND NOT EXISTS (SELECT 1 FROM pause WHERE kind = 'model' AND name = ?)").bind(model);
  sql.text(" AND tenant_id NOT IN (SELECT name FROM pause WHERE kind = 'tenant')");
  sql.text(
      " AND (batch_id IS NULL OR batch_id NOT IN (SELECT id FROM file_batch WHERE paused_at IS NOT NULL))");
  if (static_cast<int>(shards.size()) < kShards) sql.text(" AND shard IN ").list(shards);
  sql.text(" ORDER BY publish_due LIMIT ?").bind(limit);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  tasks.reserve(rows.size());
  for (const Row row : rows) {
    DueTask task;
    task.ref = TaskRef{JobId{row.str(0)}, row.int64(1), static_cast<int>(row.int64(2))};
    if (!row.is_null(3)) task.published_ms_ago = std::max<std::int64_t>(0, row.int64(3) / 1000);
    tasks.push_back(std::move(task));
  }
  return tasks;
}

Status MysqlJobStore::mark_tasks(std::span<const TaskRef> tasks, bool published, Deadline deadline) {
  // By (generation, attempt), mostly one: a job that was started and requeued meanwhile has its own time to
  // run again.
  std::map<std::pair<std::int64_t, int>, std::vector<std::string_view>> groups;
  for (const TaskRef& task : tasks) groups[{task.generation, task.attempt}].push_back(task.id.value);
  for (auto& [start, ids] : groups) {
    std::sort(ids.begin(), ids.end());
    Sql sql("UPDATE job SET publish_due = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND");
    sql.bind(std::chrono::duration_cast<std::chrono::microseconds>(rules_.republish_after).count());
    if (published) sql.text(", published_at = UTC_TIMESTAMP(6), publishes = publishes + 1");
    sql.text(" WHERE state = 'queued' AND generation = ? AND attempt = ? AND id IN ")
        .bind(start.first)
        .bind(start.second)
        .list(ids);
    auto done = pool_.transaction(deadline, [&](MysqlConnection& db) { return db.execute(sql, deadline); });
    if (!done) return fail(done.error());
  }
  return {};
}

}  // namespace sluice
