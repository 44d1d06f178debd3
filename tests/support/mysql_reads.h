// Counts the rows and index entries that statements look at: what must stay small however much else is there.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/mysql/mysql.h"
#include "tests/support/mysql_database.h"

namespace sluice::testing {

// One connection, so that its session's counters are those of the statements that go through the pool.
class MysqlReads {
 public:
  explicit MysqlReads(MysqlDatabase& database) : database_(database), pool_(one_connection(database)) {}
  MysqlPool& pool() { return *pool_; }

  // By the statements that `ask` makes through pool().
  template <class Ask>
  std::int64_t by(Ask ask) {
    // What asking for the counters itself adds to them.
    const std::int64_t first = so_far();
    const std::int64_t before = so_far();
    ask();
    return so_far() - before - (before - first);
  }

 private:
  static std::unique_ptr<MysqlPool> one_connection(MysqlDatabase& database) {
    MysqlConfig config = database.config();
    config.connections_max = 1;
    return std::make_unique<MysqlPool>(config, database.clock(), database.rng(),
                                       Log("test", LogLevel::kError, database.clock()));
  }
  std::int64_t so_far() {
    const auto rows = pool_->query(Sql("SHOW SESSION STATUS LIKE 'Handler_read%'"), database_.soon());
    std::int64_t sum = 0;
    for (const Row row : *rows) sum += std::stoll(row.str(1));
    return sum;
  }

  MysqlDatabase& database_;
  std::unique_ptr<MysqlPool> pool_;
};

}  // namespace sluice::testing
