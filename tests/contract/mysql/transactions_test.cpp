#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "tests/contract/mysql/fixture.h"

namespace sluice::testing {
namespace {

TEST_F(MysqlContract, ATransactionKeepsAllOrNothing) {
  const auto kept = pool_->transaction(soon(), [&](MysqlConnection& db) -> Result<int> {
    SLUICE_TRY(db.execute(Sql("INSERT INTO t (id) VALUES (1)"), soon()));
    SLUICE_TRY(db.execute(Sql("INSERT INTO t (id) VALUES (2)"), soon()));
    return 42;
  });
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_EQ(*kept, 42);
  const Status undone = pool_->transaction(soon(), [&](MysqlConnection& db) -> Status {
    SLUICE_TRY(db.execute(Sql("INSERT INTO t (id) VALUES (3)"), soon()));
    return fail(ErrorCode::kConflict, "lost the race");
  });
  EXPECT_EQ(undone.error().code, ErrorCode::kConflict);
  EXPECT_EQ(undone.error().message, "lost the race");
  EXPECT_EQ(number("SELECT COUNT(*) FROM t"), 2);
}

TEST_F(MysqlContract, ALeaseThatEndsInsideATransactionUndoesIt) {
  {
    auto lease = pool_->acquire(soon());
    ASSERT_TRUE((*lease)->begin(soon()));
    ASSERT_TRUE((*lease)->execute(Sql("INSERT INTO t (id) VALUES (1)"), soon()));
  }
  EXPECT_EQ(number("SELECT COUNT(*) FROM t"), 0);
  EXPECT_EQ(pool_->stats().in_use, 0);
}

TEST_F(MysqlContract, ASessionKilledBeforeCommitLeavesTheOutcomeUnknown) {
  auto victims = make_pool();
  int runs = 0;
  const Status status = victims->transaction(soon(), [&](MysqlConnection& db) -> Status {
    ++runs;
    SLUICE_TRY(db.execute(Sql("INSERT INTO t (id) VALUES (1)"), soon()));
    kill_session(session_of(db));
    return {};
  });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kOutcomeUnknown) << status.error().message;
  EXPECT_EQ(runs, 1);  // What may have been committed is never repeated blindly.
  EXPECT_EQ(victims->stats().broken, 1u);
  EXPECT_EQ(victims->stats().connections, 0);
  EXPECT_EQ(number("SELECT COUNT(*) FROM t"), 0);
}

TEST_F(MysqlContract, AConnectionLostBeforeCommitRunsTheTransactionAgain) {
  auto victims = make_pool();
  int runs = 0;
  const Status status = victims->transaction(soon(), [&](MysqlConnection& db) -> Status {
    SLUICE_TRY(db.execute(Sql("INSERT INTO t (id) VALUES (1)"), soon()));
    if (++runs == 1) kill_session(session_of(db));
    SLUICE_TRY(db.execute(Sql("INSERT INTO t (id) VALUES (2)"), soon()));
    return {};
  });
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(number("SELECT COUNT(*) FROM t"), 2);
  EXPECT_EQ(victims->stats().retries, 1u);
}

TEST_F(MysqlContract, ASessionNeverComesBackUnderTheSameConnection) {
  auto victims = make_pool();
  auto lease = victims->acquire(soon());
  ASSERT_TRUE(lease);
  kill_session(session_of(**lease));
  EXPECT_EQ((*lease)->query(Sql("SELECT 1"), soon()).error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE((*lease)->broken());
  EXPECT_EQ((*lease)->query(Sql("SELECT 1"), soon()).error().code, ErrorCode::kUnavailable);
}

TEST_F(MysqlContract, AnExecuteOutsideATransactionThatIsLostIsOutcomeUnknown) {
  auto victims = make_pool();
  auto lease = victims->acquire(soon());
  const std::int64_t session = session_of(**lease);
  auto holder = pool_->acquire(soon());
  must("INSERT INTO t (id, name) VALUES (1, 'a')");
  ASSERT_TRUE((*holder)->begin(soon()));
  ASSERT_TRUE((*holder)->execute(Sql("UPDATE t SET name = 'b' WHERE id = 1"), soon()));
  // The execute waits for the row lock when its session is killed.
  auto waiting = std::async(std::launch::async, [&] {
    return (*lease)->execute(Sql("UPDATE t SET name = 'c' WHERE id = 1"), soon());
  });
  ASSERT_TRUE(waits_for_lock(session));
  kill_session(session);
  EXPECT_EQ(waiting.get().error().code, ErrorCode::kOutcomeUnknown);
}

TEST_F(MysqlContract, ADeadlockIsRunAgainAndBothEnd) {
  must("INSERT INTO t (id, ratio) VALUES (1, 0), (2, 0)");
  std::atomic<int> at_the_meeting{0};
  const auto add_in_order = [&](int first, int second) {
    bool met = false;
    return pool_->transaction(soon(), [&](MysqlConnection& db) -> Status {
      SLUICE_TRY(db.execute(Sql("UPDATE t SET ratio = ratio + 1 WHERE id = ?").bind(first), soon()));
      if (!met) {  // Both hold their first row before either asks for the other's.
        met = true;
        ++at_the_meeting;
        EXPECT_TRUE(eventually([&] { return at_the_meeting == 2; }));
      }
      SLUICE_TRY(db.execute(Sql("UPDATE t SET ratio = ratio + 1 WHERE id = ?").bind(second), soon()));
      return {};
    });
  };
  auto one = std::async(std::launch::async, [&] { return add_in_order(1, 2); });
  auto two = std::async(std::launch::async, [&] { return add_in_order(2, 1); });
  const Status first = one.get(), second = two.get();
  EXPECT_TRUE(first) << first.error().message;
  EXPECT_TRUE(second) << second.error().message;
  EXPECT_EQ(pool_->stats().retries, 1u);
  EXPECT_EQ(number("SELECT SUM(ratio) = 4 AND MIN(ratio) = 2 FROM t"), 1);
}

TEST_F(MysqlContract, AnIgnoredDeadlockCommitsNothing) {
  must("INSERT INTO t (id, ratio) VALUES (1, 0), (2, 0)");
  auto other = pool_->acquire(soon());
  const std::int64_t other_session = session_of(**other);
  int runs = 0;
  std::future<Result<std::uint64_t>> crossing;
  const Status status = pool_->transaction(soon(), [&](MysqlConnection& db) -> Status {
    if (++runs == 2) return fail(ErrorCode::kCancelled, "seen twice");
    SLUICE_TRY(db.execute(Sql("INSERT INTO t (id) VALUES (10)"), soon()));
    // The other has changed more rows, so the server chooses this one as the victim.
    EXPECT_TRUE((*other)->begin(soon()));
    EXPECT_TRUE(
        (*other)->execute(Sql("INSERT INTO t (id) VALUES (20), (21), (22), (23), (24), (25), (26)"), soon()));
    EXPECT_TRUE((*other)->execute(Sql("UPDATE t SET ratio = 1 WHERE id = 2"), soon()));
    SLUICE_TRY(db.execute(Sql("UPDATE t SET ratio = 1 WHERE id = 1"), soon()));
    crossing = std::async(std::launch::async, [&] {
      return (*other)->execute(Sql("UPDATE t SET ratio = 1 WHERE id = 1"), soon());
    });
    EXPECT_TRUE(waits_for_lock(other_session));
    const auto lost = db.execute(Sql("UPDATE t SET ratio = 1 WHERE id = 2"), soon());
    EXPECT_FALSE(lost);
    // In autocommit, where the server now is, this would be kept.
    EXPECT_FALSE(db.execute(Sql("INSERT INTO t (id) VALUES (11)"), soon()));
    return {};
  });
  EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(crossing.get());
  (*other)->rollback();
  EXPECT_EQ(number("SELECT COUNT(*) FROM t"), 2);
}

TEST_F(MysqlContract, AHeldLockEndsByTheDeadlineNotByPatience) {
  must("INSERT INTO t (id) VALUES (1)");
  auto holder = pool_->acquire(soon());
  ASSERT_TRUE((*holder)->begin(soon()));
  ASSERT_TRUE((*holder)->query(Sql("SELECT id FROM t WHERE id = 1 FOR UPDATE"), soon()));
  Status status;
  const double took = seconds_of([&] {
    const Deadline deadline = parts().in(std::chrono::milliseconds(300));
    status = pool_->transaction(deadline, [&](MysqlConnection& db) -> Status {
      SLUICE_TRY(db.query(Sql("SELECT id FROM t WHERE id = 1 FOR UPDATE"), deadline));
      return {};
    });
  });
  EXPECT_FALSE(status);
  EXPECT_LT(took, 2.0);
}

TEST_F(MysqlContract, SkippedRowsAreFreeForOthers) {
  must("INSERT INTO t (id) VALUES (1), (2), (3)");
  auto one = pool_->acquire(soon());
  ASSERT_TRUE((*one)->begin(soon()));
  ASSERT_EQ((*one)->query(Sql("SELECT id FROM t ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED"), soon())->size(),
            2u);
  auto two = pool_->acquire(soon());
  ASSERT_TRUE((*two)->begin(soon()));
  const auto rest = (*two)->query(Sql("SELECT id FROM t ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED"), soon());
  ASSERT_TRUE(rest);
  ASSERT_EQ(rest->size(), 1u);
  EXPECT_EQ(rest->front().int64(0), 3);
  // Under READ COMMITTED a scan that skips locks does not block inserts.
  EXPECT_TRUE(pool_->execute(Sql("INSERT INTO t (id) VALUES (4)"), parts().in(std::chrono::seconds(1))));
}

TEST_F(MysqlContract, AFullPoolMakesCallersWaitAndThenRefuses) {
  MysqlConfig config = mysql_config();
  config.connections_max = 2;
  auto small = make_pool(config);
  auto one = small->acquire(soon());
  auto two = std::make_unique<Result<MysqlPool::Lease>>(small->acquire(soon()));
  ASSERT_TRUE(one && *two);
  Status refused;
  const double took = seconds_of([&] {
    if (auto third = small->acquire(parts().in(std::chrono::milliseconds(150))); !third)
      refused = fail(third.error());
  });
  EXPECT_EQ(refused.error().code, ErrorCode::kExhausted);
  EXPECT_GE(took, 0.14);
  EXPECT_LT(took, 0.6);
  auto waiter = std::async(std::launch::async, [&] { return small->query(Sql("SELECT 5"), soon()); });
  ASSERT_TRUE(eventually([&] { return small->stats().acquire_waits == 2; }));
  two.reset();
  const auto rows = waiter.get();
  ASSERT_TRUE(rows) << rows.error().message;
  EXPECT_EQ(rows->front().int64(0), 5);
  EXPECT_EQ(small->stats().connections, 2);
  EXPECT_EQ(small->stats().acquire_timeouts, 1u);
}

TEST_F(MysqlContract, ManyThreadsShareThePool) {
  MysqlConfig config = mysql_config();
  config.connections_max = 4;
  auto shared = make_pool(config);
  std::vector<std::thread> threads;
  threads.reserve(16);
  std::atomic<int> done{0};
  for (int thread = 0; thread < 16; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 20; ++i) {
        const Status status = shared->transaction(soon(), [&](MysqlConnection& db) -> Status {
          SLUICE_TRY(db.execute(Sql("INSERT INTO t (id) VALUES (?)").bind(thread * 100 + i), soon()));
          return {};
        });
        if (status) ++done;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(done, 320);
  EXPECT_EQ(number("SELECT COUNT(*) FROM t"), 320);
  EXPECT_LE(shared->stats().connections, 4);
  EXPECT_EQ(shared->stats().in_use, 0);
}

}  // namespace
}  // namespace sluice::testing
