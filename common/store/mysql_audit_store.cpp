#include "common/store/mysql_audit_store.h"

#include "common/store/audit_rows.h"

namespace sluice {

Status MysqlAuditStore::record(AuditEntry entry, Deadline deadline) {
  auto done = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<bool> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    SLUICE_TRY(store::write_audit(db, now, entry, ids_, deadline));
    return true;
  });
  if (!done) return fail(std::move(done).error());
  return {};
}

Result<std::vector<AuditEntry>> MysqlAuditStore::list_audit(const AuditFilter& filter, Deadline deadline) {
  Sql sql("SELECT id, " SLUICE_MICROS(
      "at") ", actor_tenant, actor_key, action, target, filter, count FROM audit WHERE TRUE");
  if (filter.action.ends_with('.')) {
    sql.text(" AND LEFT(action, ?) = ?").bind(filter.action.size()).bind(filter.action);
  } else if (!filter.action.empty()) {
    sql.text(" AND action = ?").bind(filter.action);
  }
  if (!filter.after.empty()) sql.text(" AND id < ?").bind(filter.after.value);
  sql.text(" ORDER BY id DESC LIMIT ?").bind(filter.limit);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  std::vector<AuditEntry> entries;
  entries.reserve(rows.size());
  for (const Row row : rows) {
    AuditEntry entry;
    entry.id.value = row.str(0);
    entry.at_us = row.int64(1);
    entry.actor = Actor{TenantId{row.str(2)}, row.str(3)};
    entry.action = row.str(4);
    entry.target = row.str_or(5, "");
    entry.filter_json = row.str_or(6, "");
    entry.count = row.int64(7);
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace sluice
