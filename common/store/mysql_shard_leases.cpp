#include "common/store/mysql_shard_leases.h"

#include "common/ids/ids.h"

namespace sluice {

Result<std::vector<OwnedShard>> MysqlShardLeases::renew(const std::string& role, const std::string& owner,
                                                        std::chrono::milliseconds lease, Deadline deadline) {
  const std::int64_t lease_us = std::chrono::duration_cast<std::chrono::microseconds>(lease).count();
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<std::vector<OwnedShard>> {
    // Rows exist from the first renewal on; a lapsed lease changes hands and its fence grows.
    Sql make("INSERT IGNORE INTO shard_lease (role, shard, owner, fence, lease_due) VALUES ");
    for (int shard = 0; shard < kShards; ++shard) make.row(role, shard, "", 0, "1970-01-02 00:00:00");
    auto made = db.execute(make, deadline);
    if (!made) return fail(made.error());
    Sql take(
        "UPDATE shard_lease SET fence = fence + (owner <> ?), owner = ?, "
        "lease_due = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND "
        "WHERE role = ? AND (owner = ? OR lease_due < UTC_TIMESTAMP(6))");
    take.bind(owner).bind(owner).bind(lease_us).bind(role).bind(owner);
    auto taken = db.execute(take, deadline);
    if (!taken) return fail(taken.error());
    SLUICE_ASSIGN(
        const Rows rows,
        db.query(Sql("SELECT shard, fence FROM shard_lease WHERE role = ? AND owner = ? ORDER BY shard")
                     .bind(role)
                     .bind(owner),
                 deadline));
    std::vector<OwnedShard> owned;
    for (const Row row : rows) {
      owned.push_back(OwnedShard{static_cast<int>(row.int64(0)), static_cast<std::uint64_t>(row.int64(1))});
    }
    return owned;
  });
}

Status MysqlShardLeases::release(const std::string& role, const std::string& owner, Deadline deadline) {
  Sql sql("UPDATE shard_lease SET lease_due = '1970-01-02 00:00:00' WHERE role = ? AND owner = ?");
  sql.bind(role).bind(owner);
  auto done = pool_.execute(sql, deadline);
  if (!done) return fail(done.error());
  return {};
}

}  // namespace sluice
