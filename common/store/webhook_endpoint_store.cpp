#include "common/store/webhook_endpoint_store.h"

#include <nlohmann/json.hpp>

#include "common/store/job_rows.h"
#include "common/store/webhook_events.h"

namespace sluice {

namespace {

constexpr const char* kSelect =
    "SELECT id, tenant_id, url, description, events, state, disabled_reason, " SLUICE_MICROS(
        "created_at") ", " SLUICE_MICROS("disabled_at") ", " SLUICE_MICROS("failing_since") ", "
    "IF(secret_old_until > UTC_TIMESTAMP(6), " SLUICE_MICROS("secret_old_until") ", 0), signing, public_key, ordered FROM "
    "webhook_endpoint ";

WebhookEndpoint read(const Row& row) {
  WebhookEndpoint endpoint;
  endpoint.id.value = row.str(0);
  endpoint.tenant.value = row.str(1);
  endpoint.url = row.str(2);
  endpoint.description = row.str(3);
  endpoint.events = row.str(4);
  endpoint.enabled = row.text(5) == "enabled";
  endpoint.disabled_reason = row.str_or(6, "");
  endpoint.created_us = row.int64(7);
  endpoint.disabled_us = row.int64(8);
  endpoint.failing_since_us = row.int64(9);
  endpoint.old_secret_until_us = row.int64(10);
  endpoint.signing = webhook_signing_from(row.text(11)).value_or(WebhookSigning::kHmac);
  endpoint.public_key = row.str_or(12, "");
  endpoint.ordered = row.int64(13) != 0;
  return endpoint;
}

Error no_such(const WebhookEndpointId& id) {
  return {ErrorCode::kNotFound, "no webhook endpoint with id " + id.value};
}

// What is authenticated with a sealed secret, so that it can't be moved to another endpoint.
std::string seal_context(const WebhookEndpointId& id) {
  return "webhook_endpoint.secret:" + id.value;
}

// Locks the row; the endpoint as it is.
Result<WebhookEndpoint> lock(MysqlConnection& db, const TenantId& tenant, const WebhookEndpointId& id,
                             Deadline deadline) {
  Sql sql(kSelect);
  sql.text("WHERE id = ? AND tenant_id = ? FOR UPDATE").bind(id.value).bind(tenant.value);
  SLUICE_ASSIGN(const Rows rows, db.query(sql, deadline));
  if (rows.empty()) return fail(no_such(id));
  return read(rows.front());
}

// The public half of a secret that is to sign so; nothing for a shared one. kInvalid: it is of the other
// kind.
Result<std::optional<std::string>> public_key_of(const Secret& secret, WebhookSigning signing) {
  SLUICE_ASSIGN(const WebhookKey key, parse_webhook_secret(secret));
  if (key.signing != signing) {
    return fail(ErrorCode::kInvalid, "the secret is none to sign with as the endpoint asks");
  }
  return webhook_public_key(key);
}

// What was put off for the order is due, and put off again if it must wait still. After the change and apart
// from it, since senders lock deliveries before endpoints; what is missed so, or because this fails, comes by
// itself, later, or when the change is asked for again.
void let_all_go(MysqlPool& pool, const WebhookEndpointId& id, Deadline deadline) {
  Sql sql(
      "UPDATE delivery FORCE INDEX (delivery_endpoint) SET behind = 0, attempt_due = UTC_TIMESTAMP(6) WHERE "
      "endpoint = ? AND attempt_due > UTC_TIMESTAMP(6) AND behind = 1");
  sql.bind(id.value);
  static_cast<void>(
      pool.transaction(deadline, [&](MysqlConnection& db) { return db.execute(sql, deadline); }));
}

}  // namespace

Result<std::string> WebhookEndpointStore::seal(const WebhookEndpointId& id, const Secret& secret) {
  if (!sealer_) return fail(ErrorCode::kInternal, "no master key: this service seals no secrets");
  return sealer_->seal(secret, seal_context(id), rng_);
}

Result<WebhookEndpoint> WebhookEndpointStore::create(const WebhookEndpoint& endpoint, const Secret& secret,
                                                     Deadline deadline) {
  SLUICE_ASSIGN(const std::optional<std::string> public_key, public_key_of(secret, endpoint.signing));
  SLUICE_ASSIGN(const std::string sealed, seal(endpoint.id, secret));
  const auto done = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<bool> {
    // The tenant's row orders those who count at the same time.
    SLUICE_TRY(
        db.query(Sql("SELECT id FROM tenant WHERE id = ? FOR UPDATE").bind(endpoint.tenant.value), deadline));
    Sql count("SELECT COUNT(*), COALESCE(SUM(id = ?), 0) FROM webhook_endpoint WHERE tenant_id = ?");
    SLUICE_ASSIGN(const Rows there,
                  db.query(count.bind(endpoint.id.value).bind(endpoint.tenant.value), deadline));
    if (there.front().int64(1) > 0) return true;  // Repeated after a COMMIT whose answer was lost.
    if (there.front().int64(0) >= kEndpointsMax) return false;
    Sql sql(
        "INSERT INTO webhook_endpoint (id, shard, tenant_id, url, description, events, state, "
        "secret_sealed, signing, public_key, ordered, created_at) VALUES (?, ?, ?, ?, ?, ?, 'enabled', ?, ?, "
        "?, ?, "
        "UTC_TIMESTAMP(6))");
    sql.bind(endpoint.id.value).bind(shard_of_tenant(endpoint.tenant)).bind(endpoint.tenant.value);
    sql.bind(endpoint.url).bind(endpoint.description).bind(endpoint.events).bind(SqlBytes{sealed});
    sql.bind(webhook_signing_name(endpoint.signing)).bind(public_key).bind(endpoint.ordered ? 1 : 0);
    SLUICE_TRY(db.execute(sql, deadline));
    return true;
  });
  if (!done) return fail(done.error());
  if (!*done) return fail(ErrorCode::kExhausted, "the tenant has too many endpoints");
  return get(endpoint.tenant, endpoint.id, deadline);
}

Result<WebhookEndpoint> WebhookEndpointStore::get(const TenantId& tenant, const WebhookEndpointId& id,
                                                  Deadline deadline) {
  Sql sql(kSelect);
  sql.text("WHERE id = ? AND tenant_id = ?").bind(id.value).bind(tenant.value);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  if (rows.empty()) return fail(no_such(id));
  return read(rows.front());
}

Result<std::vector<WebhookEndpoint>> WebhookEndpointStore::list(const TenantId& tenant,
                                                                const WebhookEndpointId& after, int limit,
                                                                Deadline deadline) {
  Sql sql(kSelect);
  sql.text("WHERE tenant_id = ? ").bind(tenant.value);
  if (!after.empty()) sql.text("AND id < ? ").bind(after.value);
  sql.text("ORDER BY id DESC LIMIT ?").bind(limit);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  std::vector<WebhookEndpoint> endpoints;
  for (const Row row : rows) endpoints.push_back(read(row));
  return endpoints;
}

Result<WebhookEndpoint> WebhookEndpointStore::update(const TenantId& tenant, const WebhookEndpointId& id,
                                                     const EndpointChanges& changes, Deadline deadline) {
  const auto done = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<bool> {
    SLUICE_ASSIGN(const WebhookEndpoint now, lock(db, tenant, id, deadline));
    Sql sql("UPDATE webhook_endpoint SET url = ?, description = ?, events = ?, ordered = ?");
    sql.bind(changes.url.value_or(now.url)).bind(changes.description.value_or(now.description));
    sql.bind(changes.events.value_or(now.events)).bind(changes.ordered.value_or(now.ordered) ? 1 : 0);
    // What it did elsewhere, or before somebody looked after it, is not held against it.
    const bool moved = changes.url && *changes.url != now.url;
    if (moved || changes.enabled.value_or(false)) sql.text(", failing_since = NULL");
    if (changes.enabled && *changes.enabled && !now.enabled) {
      sql.text(", state = 'enabled', disabled_reason = NULL, disabled_at = NULL");
    } else if (changes.enabled && !*changes.enabled && now.enabled) {
      sql.text(", state = 'disabled', disabled_reason = 'request', disabled_at = UTC_TIMESTAMP(6)");
    }
    SLUICE_TRY(db.execute(sql.text(" WHERE id = ?").bind(id.value), deadline));
    return true;
  });
  if (!done) return fail(done.error());
  SLUICE_ASSIGN(WebhookEndpoint changed, get(tenant, id, deadline));
  // Whatever it was before: what waits behind one that failed unsent while it was disabled, or behind none
  // any more because an earlier call was cut off, wakes by its time alone. The change stands without it.
  if (!changes.ordered.value_or(true) || changes.enabled.value_or(false)) {
    let_all_go(pool_, id, deadline);
  }
  return changed;
}

Status WebhookEndpointStore::remove(const TenantId& tenant, const WebhookEndpointId& id, Deadline deadline) {
  Sql sql("DELETE FROM webhook_endpoint WHERE id = ? AND tenant_id = ?");
  SLUICE_ASSIGN(const auto removed, pool_.execute(sql.bind(id.value).bind(tenant.value), deadline));
  if (removed == 0) return fail(no_such(id));
  return {};
}

Result<WebhookEndpoint> WebhookEndpointStore::rotate(const TenantId& tenant, const WebhookEndpointId& id,
                                                     const Secret& secret, std::chrono::seconds overlap,
                                                     Deadline deadline) {
  SLUICE_ASSIGN(const std::string sealed, seal(id, secret));
  const auto done = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<bool> {
    SLUICE_ASSIGN(const WebhookEndpoint now, lock(db, tenant, id, deadline));
    SLUICE_ASSIGN(const std::optional<std::string> public_key, public_key_of(secret, now.signing));
    Sql current("SELECT secret_sealed FROM webhook_endpoint WHERE id = ?");
    SLUICE_ASSIGN(const Rows rows, db.query(current.bind(id.value), deadline));
    // Repeated after a COMMIT whose answer was lost: another rotation would end the secret before it.
    const auto signing = sealer_->open(rows.front().text(0), seal_context(id));
    if (signing && signing->reveal() == secret.reveal()) return true;
    Sql sql("UPDATE webhook_endpoint SET ");
    if (signing && overlap.count() > 0) {  // One that can't be opened would sign nothing.
      sql.text("secret_old_sealed = secret_sealed, secret_old_until = UTC_TIMESTAMP(6) + INTERVAL ? SECOND, ")
          .bind(overlap.count());
    } else {
      sql.text("secret_old_sealed = NULL, secret_old_until = NULL, ");
    }
    sql.text("secret_sealed = ?, public_key = ? WHERE id = ?");
    sql.bind(SqlBytes{sealed}).bind(public_key).bind(id.value);
    SLUICE_TRY(db.execute(sql, deadline));
    return true;
  });
  if (!done) return fail(done.error());
  return get(tenant, id, deadline);
}

Result<DeliveryId> WebhookEndpointStore::send_test(const TenantId& tenant, const WebhookEndpointId& id,
                                                   Deadline deadline) {
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<DeliveryId> {
    SLUICE_ASSIGN(const WebhookEndpoint endpoint, lock(db, tenant, id, deadline));
    if (!endpoint.enabled) return fail(ErrorCode::kConflict, "the endpoint is disabled");
    const EndpointTarget target{id, endpoint.url};
    SLUICE_ASSIGN(const std::vector<DeliveryId> posted,
                  post_endpoint_event(db, ids_, tenant, std::span(&target, 1), kEndpointTestEvent,
                                      {{"id", id.value}, {"object", "webhook_endpoint"}}, deadline));
    return posted.front();
  });
}

Result<std::vector<Secret>> WebhookEndpointStore::secrets(const WebhookEndpointId& id, Deadline deadline) {
  if (!sealer_) return fail(ErrorCode::kInternal, "no master key: this service opens no secrets");
  Sql sql(
      "SELECT secret_sealed, IF(secret_old_until > UTC_TIMESTAMP(6), secret_old_sealed, NULL) "
      "FROM webhook_endpoint WHERE id = ?");
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql.bind(id.value), deadline));
  if (rows.empty()) return fail(no_such(id));
  std::vector<Secret> opened;
  for (std::size_t column = 0; column < 2; ++column) {
    if (rows.front().is_null(column)) continue;
    auto secret = sealer_->open(rows.front().text(column), seal_context(id));
    if (!secret && column > 0) continue;  // The newest one alone is enough.
    if (!secret) return fail(secret.error());
    opened.push_back(std::move(*secret));
  }
  return opened;
}

}  // namespace sluice
