// Internal to the MySQL stores: writing an entry of the audit log inside the caller's transaction.
#pragma once

#include "common/mysql/mysql.h"
#include "common/store/audit_store.h"
#include "common/store/job_rows.h"

namespace sluice::store {

// `id` and `at_us` of the entry are made here.
Status write_audit(MysqlConnection& db, const DbNow& now, const AuditEntry& entry, IdMaker& ids,
                   Deadline deadline);

}  // namespace sluice::store
