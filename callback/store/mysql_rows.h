// Internal to the MySQL store: the database's clock, and the locking of claims.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <vector>

#include "callback/store/delivery_store.h"
#include "common/mysql/mysql.h"

namespace sluice::callback::store {

inline std::int64_t micros(std::chrono::milliseconds time) {
  return std::chrono::microseconds(time).count();
}

// The database's now, as a literal for the statements of one transaction.
Result<std::string> now_text(MysqlConnection& db, Deadline deadline);

// Locks the rows of `claims` in the order of their ids and tells, in the order of `claims`, which of them are
// still held as claimed.
Result<std::vector<bool>> lock_claims(MysqlConnection& db, std::span<const DeliveryRef* const> claims,
                                      Deadline deadline);

}  // namespace sluice::callback::store
