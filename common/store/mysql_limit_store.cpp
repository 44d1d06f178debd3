#include "common/store/mysql_limit_store.h"

#include <nlohmann/json.hpp>

#include "common/store/audit_rows.h"
#include "common/store/job_rows.h"

namespace sluice {

namespace {

constexpr const char* kSelectLimit =
    "SELECT name, tenant_id, api_key, region, route, unit, quota, window_s, " SLUICE_MICROS(
        "changed_at") " FROM rate_limit ";

RateLimit read_limit(const Row& row) {
  RateLimit limit;
  limit.name = row.str(0);
  limit.tenant = row.str(1);
  limit.key = row.str(2);
  limit.region = row.str(3);
  limit.route = row.str(4);
  limit.unit = row.text(5) == "tokens" ? LimitUnit::kTokens : LimitUnit::kRequests;
  limit.quota = row.int64(6);
  limit.window_s = row.int64(7);
  limit.changed_us = row.int64(8);
  return limit;
}

}  // namespace

std::string_view limit_unit_name(LimitUnit unit) {
  return unit == LimitUnit::kTokens ? "tokens" : "requests";
}

std::string limit_to_json(const RateLimit& limit) {
  return nlohmann::json{{"tenant", limit.tenant},
                        {"key", limit.key},
                        {"region", limit.region},
                        {"route", limit.route},
                        {"unit", limit_unit_name(limit.unit)},
                        {"quota", limit.quota},
                        {"window", limit.window_s}}
      .dump();
}

Result<std::vector<RateLimit>> MysqlLimitStore::list_limits(Deadline deadline) {
  SLUICE_ASSIGN(const Rows rows, pool_.query(Sql(std::string(kSelectLimit) + "ORDER BY name"), deadline));
  std::vector<RateLimit> limits;
  for (const Row row : rows) limits.push_back(read_limit(row));
  return limits;
}

Result<RateLimit> MysqlLimitStore::set_limit(const RateLimit& limit, const Actor& actor, Deadline deadline) {
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<RateLimit> {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    Sql insert(
        "INSERT INTO rate_limit (name, tenant_id, api_key, region, route, unit, quota, window_s, changed_at) "
        "VALUES ");
    insert.row(limit.name, limit.tenant, limit.key, limit.region, limit.route, limit_unit_name(limit.unit),
               limit.quota, limit.window_s, now.text);
    insert.text(
        " ON DUPLICATE KEY UPDATE tenant_id = VALUES(tenant_id), api_key = VALUES(api_key), region = "
        "VALUES(region), route = VALUES(route), unit = VALUES(unit), quota = VALUES(quota), window_s = "
        "VALUES(window_s), changed_at = VALUES(changed_at)");
    if (auto done = db.execute(insert, deadline); !done) return fail(done.error());
    SLUICE_TRY(store::write_audit(db, now,
                                  AuditEntry{{}, 0, actor, "limits.set", limit.name, limit_to_json(limit), 1},
                                  ids_, deadline));
    RateLimit made = limit;
    made.changed_us = now.us;
    return made;
  });
}

Status MysqlLimitStore::unset_limit(const std::string& name, const Actor& actor, Deadline deadline) {
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Status {
    SLUICE_ASSIGN(const store::DbNow now, store::db_now(db, deadline));
    auto removed = db.execute(Sql("DELETE FROM rate_limit WHERE name = ?").bind(name), deadline);
    if (!removed) return fail(removed.error());
    if (*removed == 0) return fail(ErrorCode::kNotFound, "there is no limit " + name);
    SLUICE_TRY(
        store::write_audit(db, now, AuditEntry{{}, 0, actor, "limits.unset", name, "", 1}, ids_, deadline));
    return {};
  });
}

}  // namespace sluice
