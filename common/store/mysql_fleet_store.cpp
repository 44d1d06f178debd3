#include "common/store/mysql_fleet_store.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "common/store/audit_rows.h"
#include "common/store/job_rows.h"

namespace sluice {

namespace {

constexpr const char* kSelectPause = "SELECT kind, name, COALESCE(reason, ''), " SLUICE_MICROS(
    "since") ", actor_tenant, actor_key FROM pause ";

Pause read_pause(const Row& row) {
  return Pause{row.text(0) == "model" ? PauseKind::kModel : PauseKind::kTenant, row.str(1), row.str(2),
               row.int64(3), Actor{TenantId{row.str(4)}, row.str(5)}};
}

constexpr const char* kSelectWorker =
    "SELECT id, model, engine, version, jobs_max, held_jobs, " SLUICE_MICROS("started_at") ", " SLUICE_MICROS(
        "seen_at") ", TIMESTAMPDIFF(MICROSECOND, seen_at, UTC_TIMESTAMP(6)) DIV 1000, draining, tokens_per_s, job_tokens_per_s FROM worker ";

WorkerInfo read_worker(const Row& row) {
  WorkerInfo info;
  info.beat = WorkerBeat{row.str(0),
                         row.str(1),
                         row.str(2),
                         row.str(3),
                         static_cast<int>(row.int64(4)),
                         static_cast<int>(row.int64(5)),
                         row.int64(10),
                         row.int64(11)};
  info.started_us = row.int64(6);
  info.seen_us = row.int64(7);
  info.silent_ms = row.int64(8);
  info.draining = row.int64(9) != 0;
  return info;
}

Error no_worker(const std::string& id) {
  return Error{ErrorCode::kNotFound, "no worker with id " + id};
}

}  // namespace

std::string_view pause_kind_name(PauseKind kind) {
  return kind == PauseKind::kModel ? "model" : "tenant";
}

std::string pause_to_json(const Pause& pause) {
  if (pause.reason.empty()) return "";
  return nlohmann::json{{"reason", pause.reason}}.dump();
}

Result<Pause> MysqlFleetStore::set_pause(const Pause& pause, Deadline deadline) {
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<Pause> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    Sql insert("INSERT INTO pause (kind, name, reason, since, actor_tenant, actor_key) VALUES ");
    insert.row(pause_kind_name(pause.kind), pause.name, store::null_if_empty(pause.reason), now.text,
               pause.actor.tenant.value, pause.actor.key);
    insert.text(
        " ON DUPLICATE KEY UPDATE reason = VALUES(reason), actor_tenant = VALUES(actor_tenant), actor_key = "
        "VALUES(actor_key)");
    if (auto done = db.execute(insert, deadline); !done) return fail(done.error());
    SLUICE_TRY(store::write_audit(db, now,
                                  AuditEntry{{},
                                             0,
                                             pause.actor,
                                             "pauses.set",
                                             std::string(pause_kind_name(pause.kind)) + " " + pause.name,
                                             pause_to_json(pause),
                                             1},
                                  ids_, deadline));
    Sql select(kSelectPause);
    select.text("WHERE kind = ? AND name = ?").bind(pause_kind_name(pause.kind)).bind(pause.name);
    SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
    return read_pause(rows.front());
  });
}

Status MysqlFleetStore::resume(PauseKind kind, const std::string& name, const Actor& actor,
                               Deadline deadline) {
  auto done = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<bool> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    Sql remove("DELETE FROM pause WHERE kind = ? AND name = ?");
    remove.bind(pause_kind_name(kind)).bind(name);
    auto removed = db.execute(remove, deadline);
    if (!removed) return fail(removed.error());
    if (*removed == 0) {
      return fail(ErrorCode::kNotFound, std::string(pause_kind_name(kind)) + " " + name + " is not paused");
    }
    SLUICE_TRY(store::write_audit(
        db, now,
        AuditEntry{{}, 0, actor, "pauses.end", std::string(pause_kind_name(kind)) + " " + name, "", 1}, ids_,
        deadline));
    return true;
  });
  if (!done) return fail(std::move(done).error());
  return {};
}

Result<std::vector<Pause>> MysqlFleetStore::list_pauses(Deadline deadline) {
  SLUICE_ASSIGN(const Rows rows,
                pool_.query(Sql(std::string(kSelectPause) + "ORDER BY kind, name"), deadline));
  std::vector<Pause> pauses;
  for (const Row row : rows) pauses.push_back(read_pause(row));
  return pauses;
}

Result<bool> MysqlFleetStore::beat(const WorkerBeat& beat, Deadline deadline) {
  Sql insert(
      "INSERT INTO worker (id, model, engine, version, jobs_max, held_jobs, tokens_per_s, job_tokens_per_s, "
      "started_at, seen_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)) ON DUPLICATE "
      "KEY UPDATE held_jobs = VALUES(held_jobs), tokens_per_s = VALUES(tokens_per_s), job_tokens_per_s = "
      "VALUES(job_tokens_per_s), seen_at = VALUES(seen_at)");
  insert.bind(beat.id)
      .bind(beat.model)
      .bind(beat.engine)
      .bind(beat.version)
      .bind(beat.jobs_max)
      .bind(beat.held_jobs)
      .bind(beat.tokens_per_s)
      .bind(beat.job_tokens_per_s);
  if (auto done = pool_.execute(insert, deadline); !done) return fail(done.error());
  SLUICE_ASSIGN(const Rows rows,
                pool_.query(Sql("SELECT draining FROM worker WHERE id = ?").bind(beat.id), deadline));
  return !rows.empty() && rows.front().int64(0) != 0;
}

Status MysqlFleetStore::forget_worker(const std::string& id, Deadline deadline) {
  auto done = pool_.execute(
      Sql("DELETE FROM worker WHERE id = ? OR seen_at < UTC_TIMESTAMP(6) - INTERVAL 1 DAY").bind(id),
      deadline);
  if (!done) return fail(std::move(done).error());
  return {};
}

Result<std::vector<WorkerInfo>> MysqlFleetStore::list_workers(Deadline deadline) {
  Sql sql(kSelectWorker);
  sql.text("WHERE seen_at > UTC_TIMESTAMP(6) - INTERVAL 1 HOUR ORDER BY id");
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  std::vector<WorkerInfo> workers;
  for (const Row row : rows) workers.push_back(read_worker(row));
  return workers;
}

Result<WorkerInfo> MysqlFleetStore::set_draining(const std::string& id, bool draining, const Actor& actor,
                                                 Deadline deadline) {
  // The column is ASCII, and the server refuses to compare it with anything else.
  if (!std::all_of(id.begin(), id.end(), [](unsigned char c) { return c >= 0x20 && c < 0x7f; })) {
    return fail(no_worker(id));
  }
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<WorkerInfo> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    auto updated =
        db.execute(Sql("UPDATE worker SET draining = ? WHERE id = ?").bind(draining).bind(id), deadline);
    if (!updated) return fail(updated.error());
    if (*updated == 0) return fail(no_worker(id));
    SLUICE_TRY(store::write_audit(
        db, now, AuditEntry{{}, 0, actor, draining ? "workers.drain" : "workers.undrain", id, "", 1}, ids_,
        deadline));
    SLUICE_ASSIGN(const Rows rows,
                  db.query(Sql(std::string(kSelectWorker) + "WHERE id = ?").bind(id), deadline));
    return read_worker(rows.front());
  });
}

Status MysqlFleetStore::cancel_job(const JobId& id, const Actor& actor, Deadline deadline) {
  const auto done = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<bool> {
    Sql select(store::kSelectLocked);
    select.text("WHERE id = ? FOR UPDATE").bind(id.value);
    SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
    if (rows.empty()) return fail(ErrorCode::kNotFound, "no job with id " + id.value);
    store::LockedJob locked = store::read_locked(rows.front());
    if (is_final(locked.job.state)) return true;
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    std::vector<store::Change> changes(1);
    changes[0].locked = &locked;
    changes[0].to = JobState::kCancelled;
    changes[0].error = JobError{"job_cancelled", "The job was cancelled by an operator.", "job_error", ""};
    SLUICE_TRY(store::write_changes(db, now, changes, ids_, deadline));
    SLUICE_TRY(store::write_audit(db, now, AuditEntry{{}, 0, actor, "jobs.cancel", id.value, "", 1}, ids_,
                                  deadline));
    return true;
  });
  // Repeating is safe: a job that is final already stays as it is.
  if (!done && done.error().code == ErrorCode::kOutcomeUnknown) return cancel_job(id, actor, deadline);
  if (!done) return fail(done.error());
  return {};
}

Result<std::vector<WaitingJobs>> MysqlFleetStore::waiting_jobs(Deadline deadline) {
  std::map<std::pair<std::string, std::int64_t>, WaitingJobs> queues;
  // Each by itself, so that the index is read where something waits and not where jobs have ended.
  SLUICE_ASSIGN(const Rows kinds, pool_.query(Sql("SELECT DISTINCT model, priority FROM job"), deadline));
  for (const Row kind : kinds) {
    Sql count(
        "SELECT COUNT(*), COALESCE(SUM(publish_due < UTC_TIMESTAMP(6) - INTERVAL 10 SECOND), 0) FROM job "
        "WHERE queue_rank >= 0 AND model = ? AND priority = ?");
    count.bind(kind.text(0)).bind(kind.int64(1));
    SLUICE_ASSIGN(const Rows counted, pool_.query(count, deadline));
    if (counted.front().int64(0) == 0) continue;
    WaitingJobs& queue = queues[{kind.str(0), kind.int64(1)}];
    queue.queued = counted.front().int64(0);
    queue.overdue = counted.front().int64(1);
  }
  SLUICE_ASSIGN(
      const Rows running,
      pool_.query(Sql("SELECT model, priority, COUNT(*) FROM job WHERE lease_due IS NOT NULL GROUP BY model, "
                      "priority"),
                  deadline));
  for (const Row row : running) queues[{row.str(0), row.int64(1)}].running = row.int64(2);
  std::vector<WaitingJobs> out;
  for (auto& [key, queue] : queues) {
    queue.model = key.first;
    queue.priority = static_cast<Priority>(key.second);
    out.push_back(std::move(queue));
  }
  return out;
}

Result<Overview> MysqlFleetStore::overview(Deadline deadline) {
  SLUICE_ASSIGN(
      const Rows rows,
      // Columns that are set while there is something to do: their indexes hold no more than that.
      pool_.query(Sql("SELECT (SELECT COUNT(*) FROM job WHERE expire_due IS NOT NULL), "
                      "(SELECT COUNT(*) FROM job WHERE lease_due IS NOT NULL), "
                      "(SELECT COUNT(*) FROM dead_letter WHERE state = 'dead'), "
                      "(SELECT COUNT(*) FROM event WHERE publish_due IS NOT NULL), "
                      "(SELECT COUNT(*) FROM delivery WHERE attempt_due IS NOT NULL), "
                      "(SELECT COUNT(*) FROM operation WHERE state IN ('running', 'canary')), "
                      "(SELECT COUNT(DISTINCT shard) FROM shard_lease WHERE lease_due > UTC_TIMESTAMP(6))"),
                  deadline));
  const Row row = rows.front();
  const std::int64_t running = row.int64(1);
  return Overview{std::max<std::int64_t>(0, row.int64(0) - running),
                  running,
                  row.int64(2),
                  row.int64(3),
                  row.int64(4),
                  row.int64(5),
                  row.int64(6)};
}

}  // namespace sluice
