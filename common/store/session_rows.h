// Internal to the MySQL stores: rows of `session` inside the caller's transaction.
#pragma once

#include <span>

#include "common/mysql/mysql.h"
#include "common/store/job_rows.h"

namespace sluice::store {

// Moves the sessions of those submissions that have one to their jobs. kConflict: one of them was overtaken,
// and says so. After the jobs' own rows: a transaction that is done again must meet those first.
Status write_turns(MysqlConnection& db, const DbNow& now, std::span<Submission> submissions,
                   Deadline deadline);

}  // namespace sluice::store
