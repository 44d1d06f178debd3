// How the real store asks: what must stay cheap however much a dead endpoint has waiting.
#include <gtest/gtest.h>

#include "callback/store/mysql_delivery_store.h"
#include "tests/contract/callback/store_under_test.h"
#include "tests/support/mysql_test.h"
#include "tests/unit/callback/support/deliveries.h"

namespace sluice::callback {
namespace {

using namespace std::chrono_literals;

class MysqlPlans : public ::sluice::testing::MysqlTest {
 protected:
  void prepare() override { under_test_ = testing::mysql_under_test(); }
  // Rows of the index that the statement looked at, from the session's counters.
  template <class Ask>
  std::int64_t rows_read(Ask ask) {
    auto connection = database_->pool().acquire(database_->soon());
    const auto reads = [&] {
      auto rows = (*connection)->query(Sql("SHOW SESSION STATUS LIKE 'Handler_read%'"), database_->soon());
      std::int64_t sum = 0;
      for (const Row row : *rows) sum += std::stoll(row.str(1));
      return sum;
    };
    const std::int64_t before = reads();
    ask(**connection);
    return reads() - before;
  }

  std::unique_ptr<testing::StoreUnderTest> under_test_;
};

TEST_F(MysqlPlans, ADeadEndpointsBacklogIsNotReadToFindTheOthers) {
  IdMaker ids(database_->clock(), database_->rng());
  std::vector<Decision> decisions;
  for (int i = 0; i < 600; ++i) {
    const std::string endpoint = i < 590 ? "http://dead:80" : "http://live" + std::to_string(i) + ":80";
    const auto prepared = testing::prepare(ids, endpoint + "/", endpoint);
    under_test_->put_event(prepared.event);
    decisions.push_back(prepared.decision);
  }
  ASSERT_TRUE(under_test_->store().decide(decisions, database_->soon()));
  database_->execute("ANALYZE TABLE delivery");

  // The very statement of due_endpoints(): eleven endpoints, a few dives for each.
  const std::int64_t read = rows_read([&](MysqlConnection& db) {
    const Sql sql(
        "SELECT endpoint, TIMESTAMPDIFF(MICROSECOND, MIN(attempt_due), UTC_TIMESTAMP(6)) AS waited FROM "
        "delivery "
        "WHERE attempt_due <= UTC_TIMESTAMP(6) GROUP BY endpoint ORDER BY waited DESC LIMIT 100");
    const auto rows = db.query(sql, database_->soon());
    ASSERT_TRUE(rows) << rows.error().message;
    EXPECT_EQ(rows->size(), 11u);
  });
  EXPECT_LT(read, 200);
  const auto due = under_test_->store().due_endpoints(100, database_->soon());
  ASSERT_TRUE(due);
  EXPECT_EQ(due->size(), 11u);
}

}  // namespace
}  // namespace sluice::callback
