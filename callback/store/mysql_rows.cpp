#include "callback/store/mysql_rows.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

namespace sluice::callback::store {

Result<std::string> now_text(MysqlConnection& db, Deadline deadline) {
  SLUICE_ASSIGN(const Rows rows, db.query(Sql("SELECT UTC_TIMESTAMP(6)"), deadline));
  return rows.front().str(0);
}

Result<std::vector<bool>> lock_claims(MysqlConnection& db, std::span<const DeliveryRef* const> claims,
                                      Deadline deadline) {
  std::vector<std::string_view> ids;
  ids.reserve(claims.size());
  for (const DeliveryRef* claim : claims) ids.push_back(claim->id.value);
  std::sort(ids.begin(), ids.end());
  Sql sql("SELECT id, attempts, attempt_due FROM delivery WHERE id IN ");
  sql.list(ids).text(" ORDER BY id FOR UPDATE");
  SLUICE_ASSIGN(const Rows rows, db.query(sql, deadline));

  std::unordered_map<std::string_view, Row> by_id;
  for (const Row row : rows) by_id.emplace(row.text(0), row);
  std::vector<bool> held;
  held.reserve(claims.size());
  for (const DeliveryRef* claim : claims) {
    const auto found = by_id.find(claim->id.value);
    held.push_back(found != by_id.end() && found->second.int64(1) == claim->attempts &&
                   found->second.str_or(2, "") == claim->claim);
  }
  return held;
}

}  // namespace sluice::callback::store
