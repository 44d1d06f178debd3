// Internal to the MySQL stores: rows of `idempotency_key` inside the caller's transaction.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/mysql/mysql.h"
#include "common/store/idempotency_store.h"
#include "common/store/job_rows.h"

namespace sluice::store {

// The unique key that a second request with the same key meets.
inline constexpr std::string_view kIdempotencyOnce = "idempotency_once";

struct ClaimRow {
  TenantId tenant;
  IdempotencyClaim claim;
  std::string resource_id;
};

// kConflict about kIdempotencyOnce: one of the keys is taken.
Status insert_claims(MysqlConnection& db, const DbNow& now, std::vector<ClaimRow> rows, Deadline deadline);

}  // namespace sluice::store
