#include "common/store/mysql_idempotency_store.h"

#include <algorithm>
#include <utility>

#include "common/store/idempotency_rows.h"

namespace sluice {

namespace {

std::optional<IdempotencyRecord> first_of(const Rows& rows) {
  if (rows.empty()) return std::nullopt;
  return IdempotencyRecord{rows.front().str(0), rows.front().str(1)};
}

}  // namespace

namespace store {

Status insert_claims(MysqlConnection& db, const DbNow& now, std::vector<ClaimRow> rows, Deadline deadline) {
  if (rows.empty()) return {};
  // In one order everywhere: two transactions that want the same keys wait, and don't deadlock.
  std::sort(rows.begin(), rows.end(), [](const ClaimRow& a, const ClaimRow& b) {
    return std::tie(a.tenant.value, a.claim.key_hash, a.resource_id) <
           std::tie(b.tenant.value, b.claim.key_hash, b.resource_id);
  });
  // Those that were kept for long enough make room, should they not have been swept yet.
  Sql outdated("DELETE FROM idempotency_key WHERE expires_at <= ? AND (tenant_id, key_hash) IN (");
  outdated.bind(now.text);
  bool any = false;
  for (const ClaimRow& row : rows) {
    if (row.claim.key_hash.empty()) continue;
    outdated.text(any ? ",(" : "(").param(row.tenant.value).text(",").param(row.claim.key_hash).text(")");
    any = true;
  }
  if (any) {
    auto deleted = db.execute(outdated.text(")"), deadline);
    if (!deleted) return fail(deleted.error());
  }
  Sql sql(
      "INSERT INTO idempotency_key (resource_id, tenant_id, key_hash, fingerprint, created_at, expires_at) "
      "VALUES ");
  bool first = true;
  for (const ClaimRow& row : rows) {
    sql.text(first ? "(" : ",(").param(row.resource_id).text(",").param(row.tenant.value).text(",");
    sql.param(null_if_empty(row.claim.key_hash)).text(",").param(row.claim.fingerprint);
    sql.text(",").param(now.text).text(",");
    sql.param(now.text).text(" + INTERVAL ").param(row.claim.keep_s).text(" SECOND)");
    first = false;
  }
  auto inserted = db.execute(sql, deadline);
  if (!inserted) return fail(inserted.error());
  return {};
}

}  // namespace store

Result<std::optional<IdempotencyRecord>> MysqlIdempotencyStore::find_key(const TenantId& tenant,
                                                                         const std::string& key_hash,
                                                                         Deadline deadline) {
  Sql sql(
      "SELECT resource_id, fingerprint FROM idempotency_key WHERE tenant_id = ? AND key_hash = ? AND "
      "expires_at > UTC_TIMESTAMP(6)");
  sql.bind(tenant.value).bind(key_hash);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  return first_of(rows);
}

Result<std::optional<IdempotencyRecord>> MysqlIdempotencyStore::find_request(const TenantId& tenant,
                                                                             const std::string& fingerprint,
                                                                             std::int64_t within_s,
                                                                             Deadline deadline) {
  Sql sql(
      "SELECT resource_id, fingerprint FROM idempotency_key WHERE tenant_id = ? AND fingerprint = ? AND "
      "created_at > UTC_TIMESTAMP(6) - INTERVAL ? SECOND AND key_hash IS NULL ORDER BY created_at DESC "
      "LIMIT 1");
  sql.bind(tenant.value).bind(fingerprint).bind(within_s);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  return first_of(rows);
}

Result<int> MysqlIdempotencyStore::forget_expired(int limit, Deadline deadline) {
  Sql sql("DELETE FROM idempotency_key WHERE expires_at <= UTC_TIMESTAMP(6) ORDER BY expires_at LIMIT ?");
  return store::delete_some(pool_, sql.bind(limit), deadline);
}

}  // namespace sluice
