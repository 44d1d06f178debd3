#include "common/store/mysql_key_store.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/crypto/crypto.h"
#include "common/store/account_rows.h"
#include "common/store/audit_rows.h"
#include "common/store/job_rows.h"

namespace sluice {

namespace {

constexpr std::string_view kIdPrefix = "key_";
constexpr std::size_t kIdDigits = 16;
constexpr std::size_t kHashDigits = 64;
constexpr const char* kSelectKey =
    "SELECT LOWER(HEX(key_hash)), tenant_id, name, hint, scopes, " SLUICE_MICROS(
        "created_at") ", " SLUICE_MICROS("revoked_at") " FROM api_key ";

KeyInfo read_key(const Row& row) {
  KeyInfo key;
  key.id = std::string(kIdPrefix) + row.str(0).substr(0, kIdDigits);
  key.tenant.value = row.str(1);
  key.name = row.str(2);
  key.hint = row.str(3);
  key.scopes = store::scopes_from(row.text(4));
  key.created_us = row.int64(5);
  key.revoked_us = row.int64(6);
  return key;
}

}  // namespace

bool is_key_id(std::string_view id) {
  if (!id.starts_with(kIdPrefix) || id.size() != kIdPrefix.size() + kIdDigits) return false;
  return std::all_of(id.begin() + kIdPrefix.size(), id.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Result<std::vector<KeyInfo>> MysqlKeyStore::list_keys(const TenantId& tenant, Deadline deadline) {
  Sql sql(kSelectKey);
  if (!tenant.empty()) sql.text("WHERE tenant_id = ?").bind(tenant.value);
  sql.text(" ORDER BY created_at DESC, key_hash LIMIT 1000");
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  std::vector<KeyInfo> keys;
  for (const Row row : rows) keys.push_back(read_key(row));
  return keys;
}

Result<KeyInfo> MysqlKeyStore::create_key(const TenantId& tenant, const std::string& name,
                                          const Secret& api_key, unsigned scopes, const Actor& actor,
                                          Deadline deadline) {
  const std::string hash = store::key_hash(api_key);
  const auto write = [&](MysqlConnection& db) -> Result<KeyInfo> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    SLUICE_ASSIGN(const Rows tenants,
                  db.query(Sql("SELECT id FROM tenant WHERE id = ?").bind(tenant.value), deadline));
    if (tenants.empty()) return fail(ErrorCode::kNotFound, "no tenant " + tenant.value);
    Sql insert("INSERT INTO api_key (key_hash, tenant_id, name, hint, scopes, created_at) VALUES ");
    insert.row(SqlBytes{hash}, tenant.value, name, store::key_hint(api_key), store::scope_set(scopes),
               now.text);
    if (auto done = db.execute(insert, deadline); !done) return fail(done.error());
    SLUICE_ASSIGN(
        const Rows rows,
        db.query(Sql(std::string(kSelectKey) + "WHERE key_hash = ?").bind(SqlBytes{hash}), deadline));
    KeyInfo key = read_key(rows.front());
    const nlohmann::json made = {
        {"tenant", key.tenant.value}, {"name", key.name}, {"scopes", store::scope_set(scopes)}};
    SLUICE_TRY(store::write_audit(db, now, AuditEntry{{}, 0, actor, "keys.create", key.id, made.dump(), 1},
                                  ids_, deadline));
    return key;
  };
  auto done = pool_.transaction(deadline, write);
  if (!done && done.error().code == ErrorCode::kOutcomeUnknown) {
    done = pool_.transaction(deadline, write);
    if (!done && done.error().code == ErrorCode::kConflict) {  // The first had been committed.
      SLUICE_ASSIGN(
          const Rows rows,
          pool_.query(Sql(std::string(kSelectKey) + "WHERE key_hash = ?").bind(SqlBytes{hash}), deadline));
      if (!rows.empty()) return read_key(rows.front());
    }
  }
  return done;
}

Result<KeyInfo> MysqlKeyStore::revoke_key(const std::string& id, const Actor& actor, Deadline deadline) {
  if (!is_key_id(id)) return fail(ErrorCode::kNotFound, "no key with id " + id);
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<KeyInfo> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    Sql select(kSelectKey);
    const std::string digits = id.substr(kIdPrefix.size());
    select.text("WHERE key_hash BETWEEN UNHEX(?) AND UNHEX(?) FOR UPDATE")
        .bind(digits + std::string(kHashDigits - kIdDigits, '0'))
        .bind(digits + std::string(kHashDigits - kIdDigits, 'f'));
    SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
    if (rows.empty()) return fail(ErrorCode::kNotFound, "no key with id " + id);
    KeyInfo key = read_key(rows.front());
    if (key.revoked_us != 0) return key;
    Sql update("UPDATE api_key SET revoked_at = ? WHERE key_hash = UNHEX(?)");
    update.bind(now.text).bind(rows.front().text(0));
    if (auto done = db.execute(update, deadline); !done) return fail(done.error());
    SLUICE_TRY(
        store::write_audit(db, now, AuditEntry{{}, 0, actor, "keys.revoke", id, "", 1}, ids_, deadline));
    key.revoked_us = now.us;
    return key;
  });
}

}  // namespace sluice
