#include "common/store/audit_rows.h"

namespace sluice::store {

Status write_audit(MysqlConnection& db, const DbNow& now, const AuditEntry& entry, IdMaker& ids,
                   Deadline deadline) {
  Sql sql("INSERT INTO audit (id, at, actor_tenant, actor_key, action, target, filter, count) VALUES ");
  sql.row(ids.make<AuditId>(shard_of_tenant(entry.actor.tenant)).value, now.text, entry.actor.tenant.value,
          entry.actor.key, entry.action, null_if_empty(entry.target), null_if_empty(entry.filter_json),
          entry.count);
  auto done = db.execute(sql, deadline);
  if (!done) return fail(std::move(done).error());
  return {};
}

}  // namespace sluice::store
