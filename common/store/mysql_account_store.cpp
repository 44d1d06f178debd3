#include "common/store/mysql_account_store.h"

#include <algorithm>

#include "common/store/account_rows.h"

namespace sluice {

namespace store {

std::string key_hash(const Secret& api_key) {
  const Sha256 hash = sha256(api_key.reveal());
  return std::string(reinterpret_cast<const char*>(hash.data()), hash.size());
}

std::string key_hint(const Secret& api_key) {
  const std::string& key = api_key.reveal();
  return "..." + key.substr(key.size() - std::min<std::size_t>(4, key.size()));
}

std::string scope_set(unsigned scopes) {
  std::string text;
  const auto add = [&](unsigned scope, const char* name) {
    if ((scopes & scope) == 0) return;
    if (!text.empty()) text += ',';
    text += name;
  };
  add(kScopeSubmit, "submit");
  add(kScopeRead, "read");
  add(kScopeAdmin, "admin");
  return text;
}

unsigned scopes_from(std::string_view set) {
  unsigned scopes = 0;
  if (set.find("submit") != std::string_view::npos) scopes |= kScopeSubmit;
  if (set.find("read") != std::string_view::npos) scopes |= kScopeRead;
  if (set.find("admin") != std::string_view::npos) scopes |= kScopeAdmin;
  return scopes;
}

}  // namespace store

namespace {

// What is authenticated with a tenant's sealed secret, so that it can't be moved to another tenant.
std::string seal_context(const TenantId& tenant) {
  return "tenant.webhook_secret:" + tenant.value;
}

Status without_count(Result<std::uint64_t> done) {
  if (!done) return fail(std::move(done).error());
  return {};
}

}  // namespace

Result<Principal> MysqlAccountStore::find_key(const Secret& api_key, Deadline deadline) {
  const std::string hash = store::key_hash(api_key);
  Sql sql("SELECT tenant_id, scopes, hint, name FROM api_key WHERE key_hash = ? AND revoked_at IS NULL");
  sql.bind(SqlBytes{hash});
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  if (rows.empty()) return fail(ErrorCode::kNotFound, "no such API key");
  const Row row = rows.front();
  return Principal{TenantId{row.str(0)}, store::scopes_from(row.text(1)), row.str(2), row.str(3)};
}

Result<Secret> MysqlAccountStore::webhook_secret(const TenantId& tenant, Deadline deadline) {
  if (!sealer_) return fail(ErrorCode::kInternal, "no master key: this service opens no secrets");
  SLUICE_ASSIGN(
      const Rows rows,
      pool_.query(Sql("SELECT webhook_secret_sealed FROM tenant WHERE id = ?").bind(tenant.value), deadline));
  if (rows.empty() || rows.front().is_null(0)) {
    return fail(ErrorCode::kNotFound, "tenant " + tenant.value + " has no webhook secret");
  }
  return sealer_->open(rows.front().text(0), seal_context(tenant));
}

Status MysqlAccountStore::put_tenant(const TenantId& tenant, std::string_view name,
                                     const Secret& webhook_secret, Deadline deadline) {
  if (!sealer_) return fail(ErrorCode::kInternal, "no master key: this service seals no secrets");
  const std::string sealed = sealer_->seal(webhook_secret, seal_context(tenant), rng_);
  Sql sql(
      "INSERT INTO tenant (id, name, webhook_secret_sealed, created_at) VALUES (?, ?, ?, UTC_TIMESTAMP(6)) "
      "ON DUPLICATE KEY UPDATE name = VALUES(name), webhook_secret_sealed = VALUES(webhook_secret_sealed)");
  sql.bind(tenant.value).bind(name).bind(SqlBytes{sealed});
  return without_count(pool_.execute(sql, deadline));
}

Status MysqlAccountStore::put_key(const TenantId& tenant, std::string_view name, const Secret& api_key,
                                  unsigned scopes, Deadline deadline) {
  const std::string hash = store::key_hash(api_key);
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Status {
    Sql owner("SELECT tenant_id FROM api_key WHERE key_hash = ? FOR UPDATE");
    SLUICE_ASSIGN(const Rows rows, db.query(owner.bind(SqlBytes{hash}), deadline));
    if (!rows.empty() && rows.front().text(0) != tenant.value) {
      return fail(ErrorCode::kConflict,
                  "this key is the tenant " + rows.front().str(0) + "'s: each tenant has keys of its own");
    }
    Sql sql(
        "INSERT INTO api_key (key_hash, tenant_id, name, hint, scopes, created_at) "
        "VALUES (?, ?, ?, ?, ?, UTC_TIMESTAMP(6)) "
        "ON DUPLICATE KEY UPDATE name = VALUES(name), scopes = VALUES(scopes)");
    sql.bind(SqlBytes{hash}).bind(tenant.value).bind(name);
    sql.bind(store::key_hint(api_key));
    sql.bind(store::scope_set(scopes));
    return without_count(db.execute(sql, deadline));
  });
}

}  // namespace sluice
