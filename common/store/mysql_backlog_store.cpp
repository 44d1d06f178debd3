#include "common/store/mysql_backlog_store.h"

namespace sluice {

namespace {
// Each column of the index's beginning is named, so that only what waits is read, and of it the index alone.
constexpr const char* kWaiting =
    " FROM job FORCE INDEX (job_queue) WHERE priority IN (0, 1, 2) AND queue_rank IN (0, 1, 2) ";
}  // namespace

Result<std::array<Backlog, kPriorities>> MysqlBacklogStore::model_backlog(const std::string& model,
                                                                          Deadline deadline) {
  Sql sql("SELECT priority, COUNT(*), CAST(SUM(tokens_max) AS SIGNED), COUNT(DISTINCT tenant_id)");
  sql.text(kWaiting).text("AND model = ? GROUP BY priority").bind(model);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  std::array<Backlog, kPriorities> backlog{};
  for (const Row row : rows) {
    backlog.at(static_cast<std::size_t>(row.int64(0))) = Backlog{row.int64(1), row.int64(2), row.int64(3)};
  }
  return backlog;
}

Result<Backlog> MysqlBacklogStore::tenant_backlog(const TenantId& tenant, std::span<const std::string> models,
                                                  Deadline deadline) {
  if (models.empty()) return Backlog{};
  Sql sql("SELECT COUNT(*), CAST(COALESCE(SUM(tokens_max), 0) AS SIGNED)");
  sql.text(kWaiting).text("AND tenant_id = ? AND model IN ").bind(tenant.value).list(models);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  const Row row = rows.front();
  return Backlog{row.int64(0), row.int64(1), row.int64(0) > 0 ? 1 : 0};
}

}  // namespace sluice
