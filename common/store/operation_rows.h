// Internal to the MySQL stores: how rows of `operation` are read.
#pragma once

#include <string>

#include "common/mysql/mysql.h"
#include "common/store/operation_store.h"

namespace sluice::store {

struct StoredOperation {
  Operation operation;
  std::string last_job_id;  // Letters up to this job are done with.
};

// SELECT list and FROM clause, in the order that read_operation expects.
extern const char* const kSelectOperation;
// kCorrupt: its filter can't be read.
Result<StoredOperation> read_operation(const Row& row);

}  // namespace sluice::store
