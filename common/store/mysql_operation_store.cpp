// Starting, reading and steering operations; operation_step.cpp does their work.
#include "common/store/mysql_operation_store.h"

#include <algorithm>

#include "common/store/audit_rows.h"
#include "common/store/dead_letter_rows.h"
#include "common/store/operation_rows.h"

namespace sluice {

namespace {

Error no_operation(const OperationId& id) {
  return Error{ErrorCode::kNotFound, "no operation with id " + id.value};
}

// That it has still to look at. Letters may have died between its start and their count.
std::int64_t letters_left(const Operation& operation) {
  return std::max<std::int64_t>(0,
                                operation.total - operation.handled - operation.guarded - operation.skipped);
}

}  // namespace

namespace store {

const char* const kSelectOperation =
    "SELECT id, kind, state, filter, forced, rate_max, canary, expires_in_s, total, handled, guarded, skipped, "  // 0-11
    SLUICE_MICROS("created_at") ", " SLUICE_MICROS("finished_at") ", actor_tenant, actor_key, last_job_id, "  // 12-16
    "last_error "  // 17
    "FROM operation ";

Result<StoredOperation> read_operation(const Row& row) {
  StoredOperation stored;
  Operation& operation = stored.operation;
  operation.id.value = row.str(0);
  operation.asked.kind = row.text(1) == "redrive" ? OperationKind::kRedrive : OperationKind::kDiscard;
  for (const OperationState state : {OperationState::kRunning, OperationState::kCanary, OperationState::kDone,
                                     OperationState::kCancelled}) {
    if (operation_state_name(state) == row.text(2)) operation.state = state;
  }
  SLUICE_ASSIGN(operation.asked.filter, filter_from_json(row.text(3)));
  operation.asked.forced = row.int64(4) != 0;
  if (!row.is_null(5)) operation.asked.rate_max = row.float64(5);
  if (!row.is_null(6)) operation.asked.canary = static_cast<int>(row.int64(6));
  operation.asked.expires_in_s = row.int64_or_null(7);
  operation.total = row.int64(8);
  operation.handled = row.int64(9);
  operation.guarded = row.int64(10);
  operation.skipped = row.int64(11);
  operation.created_us = row.int64(12);
  operation.finished_us = row.int64(13);
  operation.actor = Actor{TenantId{row.str(14)}, row.str(15)};
  stored.last_job_id = row.str(16);
  operation.last_error = row.str_or(17, "");
  return stored;
}

}  // namespace store

Result<Operation> MysqlOperationStore::start_operation(const NewOperation& asked, const Actor& actor,
                                                       Deadline deadline) {
  Operation operation;
  operation.id = ids_.make<OperationId>(shard_of_tenant(actor.tenant));
  operation.asked = asked;
  operation.actor = actor;
  const OperationId& id = operation.id;
  const auto write = [&](MysqlConnection& db) -> Result<bool> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    Sql count("SELECT COUNT(*) FROM dead_letter d WHERE d.state = 'dead'");
    store::add_filter(count, asked.filter);
    SLUICE_ASSIGN(const Rows counted, db.query(count, deadline));
    const std::int64_t total = counted.front().int64(0);
    operation.total = total;
    operation.created_us = now.us;
    Sql insert(
        "INSERT INTO operation (id, kind, state, filter, forced, rate_max, canary, expires_in_s, total, "
        "step_due, "
        "created_at, actor_tenant, actor_key) VALUES ");
    insert.row(id.value, operation_kind_name(asked.kind), "running", filter_to_json(asked.filter),
               asked.forced, asked.rate_max, asked.canary, asked.expires_in_s, total, now.text, now.text,
               actor.tenant.value, actor.key);
    if (auto done = db.execute(insert, deadline); !done) return fail(done.error());
    SLUICE_TRY(store::write_audit(db, now,
                                  AuditEntry{{},
                                             0,
                                             actor,
                                             "dead_letters." + std::string(operation_kind_name(asked.kind)),
                                             id.value,
                                             asked_to_json(asked),
                                             total},
                                  ids_, deadline));
    return true;
  };
  auto done = pool_.transaction(deadline, write);
  if (!done && done.error().code == ErrorCode::kOutcomeUnknown) {
    // Doing it again tells: the row goes in now, or is there. A commit that is still under way in a session
    // that we lost holds the row's lock, so this waits for it.
    auto again = pool_.transaction(deadline, write);
    if (!again && duplicate_key(again.error()) == "PRIMARY") {
      auto found = get_operation(id, deadline);
      return found ? std::move(found) : fail(std::move(done).error());
    }
    if (again) done = std::move(again);
  }
  if (!done) return fail(std::move(done).error());
  return operation;
}

Result<Operation> MysqlOperationStore::get_operation(const OperationId& id, Deadline deadline) {
  Sql sql(store::kSelectOperation);
  sql.text("WHERE id = ?").bind(id.value);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  if (rows.empty()) return fail(no_operation(id));
  SLUICE_ASSIGN(auto stored, store::read_operation(rows.front()));
  return std::move(stored.operation);
}

Result<std::vector<Operation>> MysqlOperationStore::list_operations(const OperationFilter& filter,
                                                                    Deadline deadline) {
  Sql sql(store::kSelectOperation);
  sql.text("WHERE TRUE");
  if (!filter.after.empty()) sql.text(" AND id < ?").bind(filter.after.value);
  sql.text(" ORDER BY id DESC LIMIT ?").bind(filter.limit);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  std::vector<Operation> operations;
  for (const Row row : rows) {
    SLUICE_ASSIGN(auto stored, store::read_operation(row));
    operations.push_back(std::move(stored.operation));
  }
  return operations;
}

Result<OperationOutcome> MysqlOperationStore::operation_outcome(const OperationId& id, Deadline deadline) {
  Sql sql(
      "SELECT COALESCE(SUM(j.generation = d.generation + 1 AND j.state = 'succeeded'), 0), "
      "COALESCE(SUM(j.generation > d.generation + 1 OR j.state IN ('failed', 'dead', 'cancelled', "
      "'expired')), 0), "
      "COALESCE(SUM(j.generation = d.generation + 1 AND j.state IN ('queued', 'running')), 0) "
      "FROM dead_letter d JOIN job j ON j.id = d.job_id WHERE d.operation_id = ? AND d.state = 'redriven'");
  sql.bind(id.value);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  const Row row = rows.front();
  return OperationOutcome{row.int64(0), row.int64(1), row.int64(2)};
}

Result<Operation> MysqlOperationStore::continue_operation(const OperationId& id, const Actor& actor,
                                                          Deadline deadline) {
  return change_state(id, OperationState::kRunning, actor, deadline);
}

Result<Operation> MysqlOperationStore::cancel_operation(const OperationId& id, const Actor& actor,
                                                        Deadline deadline) {
  return change_state(id, OperationState::kCancelled, actor, deadline);
}

Result<Operation> MysqlOperationStore::change_state(const OperationId& id, OperationState to,
                                                    const Actor& actor, Deadline deadline) {
  bool again = false;
  const auto write = [&](MysqlConnection& db) -> Result<Operation> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    Sql select(store::kSelectOperation);
    select.text("WHERE id = ? FOR UPDATE").bind(id.value);
    SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
    if (rows.empty()) return fail(no_operation(id));
    SLUICE_ASSIGN(auto stored, store::read_operation(rows.front()));
    Operation& operation = stored.operation;
    const bool going_on = to == OperationState::kRunning;
    // The commit whose answer was lost had done it, and what went on may be over by now.
    const bool was_done =
        going_on ? operation.state == OperationState::kRunning || operation.state == OperationState::kDone
                 : operation.state == OperationState::kCancelled;
    if (again && was_done) return std::move(operation);
    const bool allowed = operation.state == OperationState::kCanary ||
                         (!going_on && operation.state == OperationState::kRunning);
    if (!allowed) {
      return fail(ErrorCode::kConflict,
                  "the operation is " + std::string(operation_state_name(operation.state)));
    }
    Sql update(
        going_on ? "UPDATE operation SET state = 'running', canary = NULL, step_due = ? WHERE id = ?"
                 : "UPDATE operation SET state = 'cancelled', step_due = NULL, finished_at = ? WHERE id = ?");
    update.bind(now.text).bind(id.value);
    if (auto updated = db.execute(update, deadline); !updated) return fail(updated.error());
    SLUICE_TRY(store::write_audit(
        db, now,
        AuditEntry{{},
                   0,
                   actor,
                   "dead_letters." + std::string(operation_kind_name(operation.asked.kind)) +
                       (going_on ? ".continue" : ".cancel"),
                   id.value,
                   "",
                   going_on ? letters_left(operation) : operation.handled},
        ids_, deadline));
    operation.state = to;
    if (going_on) {
      operation.asked.canary.reset();
    } else {
      operation.finished_us = now.us;
    }
    return std::move(operation);
  };
  auto done = pool_.transaction(deadline, write);
  if (done || done.error().code != ErrorCode::kOutcomeUnknown) return done;
  again = true;
  auto found = pool_.transaction(deadline, write);
  return found ? std::move(found) : std::move(done);
}

}  // namespace sluice
