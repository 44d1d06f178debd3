// Brings the database's schema up and down: schema/sql/NNNN_name.up.sql and .down.sql, built into the binary.
//
// MySQL commits DDL implicitly, so each file holds one statement, and a migration that fails leaves exactly
// the ones before it. Applied versions stand in the table schema_migration, marked before and after, so that
// a run that was cut off in between is taken up again. Not safe for concurrent use within one object; several
// processes take turns by a lock of the server.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/mysql/mysql.h"
#include "schema/schema.h"

namespace sluice {

using Migration = schema::SqlFile;

struct MigrationState {
  int version = 0;
  std::string name;
  bool applied = false;
  std::string applied_at;  // UTC, "2025-03-01 12:00:00"; empty = not applied.
  std::string problem;     // Why up() would refuse; empty = it would not.
};

class Migrator {
 public:
  // Both must outlive the migrator. One statement may run as long as the pool's read timeout.
  explicit Migrator(MysqlPool& pool, std::span<const Migration> migrations = schema::sql_files());

  // Applies what is missing, in order; returns how many. kConflict: an applied migration was changed, one is
  // missing below an applied one, or the database is ahead of this binary. kExhausted: another process held
  // the lock until the deadline.
  Result<int> up(Deadline deadline);
  // Reverts the last `steps` applied ones, newest first; returns how many.
  Result<int> down(int steps, Deadline deadline);
  Result<std::vector<MigrationState>> status(Deadline deadline);
  // For /ready: kUnavailable if anything is missing or wrong.
  Status verify(Deadline deadline);

 private:
  struct Applied;
  Result<std::vector<Applied>> read_applied(MysqlConnection& db, Deadline deadline) const;
  Status check(const std::vector<Applied>& applied) const;
  std::string problem_of(const Applied& applied) const;
  const Migration* find(int version) const;
  Status apply(MysqlConnection& db, const Migration& migration, bool cut_off, Deadline deadline);
  Status revert(MysqlConnection& db, const Migration& migration, bool cut_off, Deadline deadline);

  MysqlPool& pool_;
  std::span<const Migration> migrations_;
};

}  // namespace sluice
