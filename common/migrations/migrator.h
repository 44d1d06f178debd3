// Brings the database's schema up and down: schema/sql/NNNN_name.up.sql and .down.sql, built into the binary.
//
// MySQL commits DDL implicitly, so each file holds one statement, and a migration that fails leaves exactly
// the ones before it. Applied versions stand in the table schema_migration. Not safe for concurrent use
// within one object; several processes take turns by a lock of the server.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/mysql/mysql.h"

namespace sluice {

struct Migration {
  int version = 0;
  std::string_view name;
  std::string_view up;
  std::string_view down;
};

// All of schema/sql, by version.
std::span<const Migration> builtin_migrations();

struct MigrationState {
  int version = 0;
  std::string name;
  bool applied = false;
  std::int64_t applied_us = 0;  // 0 = not applied.
  std::string problem;          // "changed since it was applied", "unknown to this binary", or empty.
};

class Migrator {
 public:
  // Both must outlive the migrator.
  Migrator(MysqlPool& pool, std::span<const Migration> migrations = builtin_migrations());

  // Applies what is missing, in order; returns how many. kConflict: an applied migration was changed, or the
  // database is ahead of this binary. kExhausted: another process held the lock until the deadline.
  Result<int> up(Deadline deadline);
  // Reverts the last `steps` applied ones, newest first; returns how many.
  Result<int> down(int steps, Deadline deadline);
  Result<std::vector<MigrationState>> status(Deadline deadline);
  // Fails with kUnavailable if anything is missing: for /ready.
  Status verify(Deadline deadline);

 private:
  MysqlPool& pool_;
  std::span<const Migration> migrations_;
};

}  // namespace sluice
