// Reading jobs, and what the dispatcher asks.
#include <algorithm>
#include <map>
#include <utility>

#include "common/store/job_rows.h"
#include "common/store/mysql_job_store.h"

namespace sluice {

namespace {
// job.queue_rank, see schema/sql/0033.
constexpr int kRankPublished = 0;
constexpr int kRankRestart = 1;
constexpr int kRankNew = 2;

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
  if (rows.front().text(0).empty()) return fail(no_such_job(id));  // erase()
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
  if (!filter.with_results) sql.text("AND FALSE ");  // Belongs to the join with the results.
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
      "SELECT COUNT(*) FROM (SELECT 1 FROM job WHERE model = ? AND priority = ? AND queue_rank >= 0 LIMIT ?) "
      "AS waiting");
  sql.bind(model).bind(static_cast<int>(priority)).bind(count_max);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  return rows.front().int64(0);
}

Result<DueTenants> MysqlJobStore::due_tenants(const std::string& model, Priority priority,
                                              const TenantId& after, int limit, Deadline deadline) {
  // Written so that the server skips from tenant to tenant ("Using index for group-by"): all columns of the
  // index's beginning are named, and nothing else is asked inside.
  Sql sql(
      "SELECT found.tenant_id, found.rank_, found.due, "
      "found.tenant_id IN (SELECT name FROM pause WHERE kind = 'tenant') FROM (");
  for (const int rank : {kRankRestart, kRankNew}) {
    if (rank == kRankNew) sql.text(" UNION ALL ");
    sql.text("(SELECT tenant_id, queue_rank AS rank_, MIN(publish_due) <= UTC_TIMESTAMP(6) AS due FROM job ")
        .text(
            "FORCE INDEX (job_queue) WHERE model = ? AND priority = ? AND queue_rank = ? AND tenant_id > ? ")
        .text("GROUP BY model, priority, queue_rank, tenant_id ORDER BY tenant_id LIMIT ?)");
    sql.bind(model).bind(static_cast<int>(priority)).bind(rank).bind(after.value).bind(limit);
  }
  sql.text(") AS found WHERE NOT EXISTS (SELECT 1 FROM pause WHERE kind = 'model' AND name = ?)").bind(model);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  struct Seen {
    int count = 0;
    std::string last;
  };
  std::map<std::int64_t, Seen> seen;
  std::map<std::string, bool> due;
  for (const Row row : rows) {
    Seen& rank = seen[row.int64(1)];
    ++rank.count;
    rank.last = std::max(rank.last, row.str(0));
    bool& is_due = due[row.str(0)];
    is_due = is_due || (row.int64(2) != 0 && row.int64(3) == 0);
  }
  DueTenants answer;
  // Beyond the last of a rank that was cut off, tenants may be missing.
  for (const auto& [rank, part] : seen) {
    if (part.count >= limit && (!answer.next || part.last < answer.next->value)) {
      answer.next = TenantId{part.last};
    }
  }
  for (const auto& [tenant, is_due] : due) {
    if (is_due && (!answer.next || tenant <= answer.next->value)) answer.tenants.push_back(TenantId{tenant});
  }
  return answer;
}

namespace {

constexpr const char* kSelectDue =
    "SELECT id, generation, attempt, tenant_id, tokens_max, "
    "TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), expires_at), "
    "TIMESTAMPDIFF(MICROSECOND, published_at, UTC_TIMESTAMP(6)) FROM job FORCE INDEX (job_queue) "
    "WHERE model = ? AND priority = ? AND queue_rank = ? AND (batch_id IS NULL OR batch_id NOT IN "
    "(SELECT id FROM file_batch WHERE paused_at IS NOT NULL)) ";

std::vector<DueTask> read_due(const Rows& rows) {
  std::vector<DueTask> tasks;
  tasks.reserve(rows.size());
  for (const Row row : rows) {
    DueTask task;
    task.ref = TaskRef{JobId{row.str(0)}, row.int64(1), static_cast<int>(row.int64(2))};
    task.tenant.value = row.str(3);
    task.tokens_max = row.int64(4);
    task.expires_in_ms = row.int64(5) / 1000;
    if (!row.is_null(6)) task.published_ms_ago = std::max<std::int64_t>(0, row.int64(6) / 1000);
    tasks.push_back(std::move(task));
  }
  return tasks;
}

}  // namespace

Result<std::vector<DueTask>> MysqlJobStore::due_tasks(const std::string& model, Priority priority,
                                                      std::span<const TenantId> tenants, int limit,
                                                      Deadline deadline) {
  if (tenants.empty() || limit <= 0) return std::vector<DueTask>();
  // One range of the index for each tenant and rank: as many rows are read as are wanted.
  Sql sql;
  for (const TenantId& tenant : tenants) {
    for (const int rank : {kRankRestart, kRankNew}) {
      sql.text(&tenant == tenants.data() && rank == kRankRestart ? "(" : " UNION ALL (").text(kSelectDue);
      sql.text("AND tenant_id = ? AND publish_due <= UTC_TIMESTAMP(6) ");
      // Of no row: asked once, and then none is read.
      sql.text("AND NOT EXISTS (SELECT 1 FROM pause WHERE kind = 'model' AND name = ?) ");
      sql.text("AND NOT EXISTS (SELECT 1 FROM pause WHERE kind = 'tenant' AND name = ?) ");
      sql.text("ORDER BY publish_due LIMIT ?)");
      sql.bind(model).bind(static_cast<int>(priority)).bind(rank).bind(tenant.value);
      sql.bind(model).bind(tenant.value).bind(limit);
    }
  }
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  std::vector<DueTask> tasks = read_due(rows);
  std::map<TenantId, int> counts;
  std::erase_if(tasks, [&](const DueTask& task) { return ++counts[task.tenant] > limit; });
  return tasks;
}

Result<std::vector<DueTask>> MysqlJobStore::unstarted_tasks(const std::string& model, Priority priority,
                                                            std::span<const int> shards, int limit,
                                                            Deadline deadline) {
  if (shards.empty() || limit <= 0) return std::vector<DueTask>();
  // Nothing in here but what the broker should have: a few batches, whatever waits.
  Sql sql(kSelectDue);
  sql.text("AND publish_due <= UTC_TIMESTAMP(6)");
  sql.bind(model).bind(static_cast<int>(priority)).bind(kRankPublished);
  // Asked once, whatever the number of rows: nothing of a paused model, no row of a paused tenant.
  sql.text(" AND NOT EXISTS (SELECT 1 FROM pause WHERE kind = 'model' AND name = ?)").bind(model);
  sql.text(" AND tenant_id NOT IN (SELECT name FROM pause WHERE kind = 'tenant')");
  if (static_cast<int>(shards.size()) < kShards) sql.text(" AND shard IN ").list(shards);
  sql.text(" LIMIT ?").bind(limit);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  return read_due(rows);
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
