// Starting jobs, and keeping them.
#include <algorithm>
#include <unordered_map>

#include "common/base/failpoint.h"
#include "common/store/job_rows.h"
#include "common/store/mysql_job_store.h"

namespace sluice {

Result<std::vector<ClaimedJob>> MysqlJobStore::claim(std::span<const TaskRef> tasks,
                                                     const std::string& worker_id, Deadline deadline) {
  if (tasks.empty()) return std::vector<ClaimedJob>();
  auto claimed = claim_once(tasks, worker_id, false, deadline);
  if (!claimed && claimed.error().code == ErrorCode::kOutcomeUnknown) {
    // What the lost commit may have claimed is recognised as ours. If this fails too, nobody heartbeats those
    // starts, and they lapse.
    return claim_once(tasks, worker_id, true, deadline);
  }
  return claimed;
}

Result<std::vector<ClaimedJob>> MysqlJobStore::claim_once(std::span<const TaskRef> tasks,
                                                          const std::string& worker_id, bool again,
                                                          Deadline deadline) {
  std::unordered_map<std::string_view, const TaskRef*> wanted;
  std::vector<std::string_view> ids;
  for (const TaskRef& task : tasks) {
    if (wanted.emplace(task.id.value, &task).second) ids.push_back(task.id.value);
  }
  std::sort(ids.begin(), ids.end());
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<std::vector<ClaimedJob>> {
    Sql select(
        "SELECT id, tenant_id, model, priority, state, generation, attempt, prompt_tokens, tokens_max, "
        "lapsed_starts, "
        "COALESCE(worker_id, ''), expire_due > UTC_TIMESTAMP(6), "
        "TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6)) DIV 1000, EXISTS (SELECT 1 FROM pause "
        "WHERE "
        "(kind = 'model' AND name = job.model) OR (kind = 'tenant' AND name = job.tenant_id)) OR EXISTS "
        "(SELECT 1 FROM file_batch f WHERE f.id = job.batch_id AND f.paused_at IS NOT NULL) FROM job "
        "WHERE state IN ('queued', 'running') AND id IN ");
    select.list(ids).text(" ORDER BY id FOR UPDATE");
    SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
    std::vector<ClaimedJob> claimed;
    std::vector<std::string> starting;
    std::vector<std::string> held_back;
    for (const Row row : rows) {
      const TaskRef& task = *wanted.at(row.text(0));
      const bool queued = row.text(4) == "queued";
      const int attempt = static_cast<int>(row.int64(6));
      if (row.int64(5) != task.generation) continue;
      const bool startable = queued && attempt == task.attempt && row.int64(11) != 0;
      const bool paused = row.int64(13) != 0;
      if (startable && paused) held_back.push_back(task.id.value);
      const bool to_start = startable && !paused;
      const bool ours_already = again && !queued && attempt == task.attempt + 1 && row.text(10) == worker_id;
      if (!to_start && !ours_already) continue;
      ClaimedJob job;
      job.ref = TaskRef{task.id, task.generation, task.attempt + 1};
      job.tenant.value = row.str(1);
      job.model = row.str(2);
      job.priority = static_cast<Priority>(row.int64(3));
      job.prompt_tokens = row.int64(7);
      job.tokens_max = row.int64(8);
      job.lapsed_starts = static_cast<int>(row.int64(9));
      job.queued_ms = row.int64_or(12, 0);
      claimed.push_back(std::move(job));
      if (to_start) starting.push_back(task.id.value);
    }
    if (!held_back.empty()) {
      // Its message is used up: from here on it is as if it had never been published, so that it is as soon
      // as the pause ends, in the place that it had among its tenant's jobs.
      Sql update("UPDATE job SET publish_due = created_at, published_at = NULL WHERE id IN ");
      update.list(held_back);
      if (auto updated = db.execute(update, deadline); !updated) return fail(updated.error());
    }
    if (claimed.empty()) return claimed;
    if (!starting.empty()) {
      Sql update(
          "UPDATE job SET state = 'running', attempt = attempt + 1, worker_id = ?, publish_due = NULL, "
          "started_at = UTC_TIMESTAMP(6), lease_due = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND WHERE id "
          "IN ");
      update.bind(worker_id).bind(
          std::chrono::duration_cast<std::chrono::microseconds>(rules_.lease).count());
      update.list(starting);
      auto updated = db.execute(update, deadline);
      if (!updated) return fail(updated.error());
    }
    std::vector<std::string_view> got;
    for (const ClaimedJob& job : claimed) got.push_back(job.ref.id.value);
    Sql payloads("SELECT job_id, request FROM job_payload WHERE job_id IN ");
    payloads.list(got);
    SLUICE_ASSIGN(const Rows requests, db.query(payloads, deadline));
    std::unordered_map<std::string_view, std::string_view> by_id;
    for (const Row row : requests) by_id.emplace(row.text(0), row.text(1));
    for (ClaimedJob& job : claimed) {
      if (const auto found = by_id.find(job.ref.id.value); found != by_id.end())
        job.request_json = found->second;
    }
    SLUICE_FAILPOINT("store.claim_before_commit");
    return claimed;
  });
}

Result<std::vector<TaskRef>> MysqlJobStore::heartbeat(const std::string& worker_id,
                                                      std::span<const TaskRef> held, Deadline deadline) {
  std::vector<TaskRef> kept;
  if (held.empty()) return kept;
  std::unordered_map<std::string_view, const TaskRef*> by_id;
  std::vector<std::string_view> ids;
  for (const TaskRef& task : held) {
    if (by_id.emplace(task.id.value, &task).second) ids.push_back(task.id.value);
  }
  std::sort(ids.begin(), ids.end());
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<std::vector<TaskRef>> {
    Sql update(
        "UPDATE job SET lease_due = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND WHERE state = 'running' AND "
        "worker_id = ? AND id IN ");
    update.bind(std::chrono::duration_cast<std::chrono::microseconds>(rules_.lease).count())
        .bind(worker_id)
        .list(ids);
    auto updated = db.execute(update, deadline);
    if (!updated) return fail(updated.error());
    Sql select(
        "SELECT id, generation, attempt FROM job WHERE state = 'running' AND worker_id = ? AND id IN ");
    select.bind(worker_id).list(ids);
    SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
    std::vector<TaskRef> still;
    for (const Row row : rows) {
      const TaskRef& task = *by_id.at(row.text(0));
      if (task.generation == row.int64(1) && task.attempt == row.int64(2)) still.push_back(task);
    }
    return still;
  });
}

}  // namespace sluice
