// A database of its own for one test program, on the server that SLUICE_MYSQL_* names: made and migrated at
// the first use, dropped at exit. Without a server there is none, and tests skip.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/mysql/mysql.h"

namespace sluice::testing {

class MysqlDatabase {
 public:
  ~MysqlDatabase();
  // Null: SLUICE_MYSQL_HOST is not set. Aborts if the server is named but can't be used.
  static MysqlDatabase* instance();

  MysqlPool& pool() { return *pool_; }
  const MysqlConfig& config() const { return config_; }
  Clock& clock() { return clock_; }
  Rng& rng() { return rng_; }
  Deadline soon() { return Deadline::in(clock_, std::chrono::seconds(20)); }
  void execute(const std::string& statement);  // Statements of the test's own; aborts on failure.
  void clear_jobs();                           // Empties every table that jobs, events and deliveries use.

 private:
  MysqlDatabase();

  SystemClock clock_;
  SystemRng rng_;
  MysqlConfig config_;
  std::unique_ptr<MysqlPool> pool_;
};

}  // namespace sluice::testing
