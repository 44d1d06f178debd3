#include "common/migrations/migrator.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "tests/contract/support/servers.h"

namespace sluice::testing {
namespace {

const std::vector<Migration> kThree = {
    {1, "create_a", "-- Why? Because.\nCREATE TABLE a (id INT PRIMARY KEY) ENGINE=InnoDB;\n",
     "DROP TABLE a;\n"},
    {2, "create_b", "CREATE TABLE b (id INT PRIMARY KEY) ENGINE=InnoDB;\n", "DROP TABLE b;\n"},
    {3, "add_b_note", "ALTER TABLE b ADD COLUMN note VARCHAR(9) NULL;\n",
     "ALTER TABLE b DROP COLUMN note;\n"},
};

class MigrationsContract : public ::testing::Test {
 protected:
  void SetUp() override {
    SLUICE_REQUIRE_SERVER("SLUICE_MYSQL_HOST");
    config_.host = env_or("SLUICE_MYSQL_HOST", "127.0.0.1");
    config_.port = std::stoi(env_or("SLUICE_MYSQL_PORT", "3306"));
    config_.user = env_or("SLUICE_MYSQL_USER", "sluice");
    config_.password = Secret(env_or("SLUICE_MYSQL_PASSWORD", ""));
    config_.database = env_or("SLUICE_MYSQL_DATABASE", "sluice");
    MysqlPool admin(config_, parts().clock, parts().rng, parts().log);
    ASSERT_TRUE(admin.execute(Sql("DROP DATABASE IF EXISTS sluice_migrations_contract"), soon()));
    ASSERT_TRUE(admin.execute(Sql("CREATE DATABASE sluice_migrations_contract"), soon()));
    config_.database = "sluice_migrations_contract";
    pool_ = std::make_unique<MysqlPool>(config_, parts().clock, parts().rng, parts().log);
  }
  Deadline soon() { return parts().in(std::chrono::seconds(30)); }
  std::vector<std::string> tables() {
    std::vector<std::string> names;
    const auto rows =
        pool_->query(Sql("SELECT table_name FROM information_schema.tables WHERE table_schema = "
                         "DATABASE() AND table_name <> 'schema_migration' ORDER BY table_name"),
                     soon());
    EXPECT_TRUE(rows);
    if (rows) {
      for (const Row row : *rows) names.push_back(row.str(0));
    }
    return names;
  }
  void must(const std::string& text) { ASSERT_TRUE(pool_->execute(Sql(text), soon())) << text; }

  MysqlConfig config_;
  std::unique_ptr<MysqlPool> pool_;
};

using Names = std::vector<std::string>;

TEST_F(MigrationsContract, UpDownUpEndsWhereItBegan) {
  Migrator migrator(*pool_, kThree);
  EXPECT_EQ(migrator.verify(soon()).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(migrator.up(soon()).value(), 3);
  EXPECT_TRUE(migrator.verify(soon()));
  EXPECT_EQ(migrator.up(soon()).value(), 0);
  EXPECT_EQ(tables(), (Names{"a", "b"}));
  EXPECT_EQ(migrator.down(2, soon()).value(), 2);
  EXPECT_EQ(tables(), Names{"a"});
  const auto states = migrator.status(soon());
  ASSERT_TRUE(states);
  ASSERT_EQ(states->size(), 3u);
  EXPECT_TRUE((*states)[0].applied);
  EXPECT_FALSE((*states)[0].applied_at.empty());
  EXPECT_FALSE((*states)[1].applied);
  EXPECT_EQ(migrator.down(100, soon()).value(), 1);
  EXPECT_EQ(tables(), Names{});
  EXPECT_EQ(migrator.up(soon()).value(), 3);
}

TEST_F(MigrationsContract, EveryShippedMigrationGoesUpDownUp) {
  Migrator migrator(*pool_);
  const int all = static_cast<int>(schema::sql_files().size());
  const auto up = migrator.up(soon());
  ASSERT_TRUE(up) << up.error().message;
  EXPECT_EQ(*up, all);
  const auto down = migrator.down(all, soon());
  ASSERT_TRUE(down) << down.error().message;
  EXPECT_EQ(tables(), Names{});
  const auto again = migrator.up(soon());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(migrator.verify(soon()));
}

TEST_F(MigrationsContract, AChangedFileIsRefused) {
  ASSERT_TRUE(Migrator(*pool_, kThree).up(soon()));
  std::vector<Migration> changed = kThree;
  changed[1].up = "CREATE TABLE b (id BIGINT PRIMARY KEY) ENGINE=InnoDB;\n";
  Migrator migrator(*pool_, changed);
  EXPECT_EQ(migrator.up(soon()).error().code, ErrorCode::kConflict);
  EXPECT_EQ(migrator.down(1, soon()).error().code, ErrorCode::kConflict);
  EXPECT_EQ(migrator.status(soon())->at(1).problem, "changed since it was applied");
}

TEST_F(MigrationsContract, ADatabaseAheadOfTheProgramIsLeftAlone) {
  ASSERT_TRUE(Migrator(*pool_, kThree).up(soon()));
  Migrator old(*pool_, std::span(kThree).first(2));
  EXPECT_EQ(old.up(soon()).error().code, ErrorCode::kConflict);
  EXPECT_TRUE(old.verify(soon()));  // And yet it can serve.
}

TEST_F(MigrationsContract, AFailingMigrationKeepsTheOnesBeforeIt) {
  std::vector<Migration> broken = kThree;
  broken[1].up = "CREATE TABLE b (id NONSENSE);\n";
  Migrator migrator(*pool_, broken);
  const auto failed = migrator.up(soon());
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("migration 2 (create_b)"), std::string::npos)
      << failed.error().message;
  EXPECT_EQ(tables(), Names{"a"});
  EXPECT_EQ(Migrator(*pool_, kThree).up(soon()).value(), 2);
}

TEST_F(MigrationsContract, ARunThatWasCutOffIsTakenUpAgain) {
  Migrator migrator(*pool_, kThree);
  ASSERT_TRUE(migrator.up(soon()));
  // Cut off after the statement and before its mark.
  must("UPDATE schema_migration SET state = 'applying' WHERE version = 3");
  EXPECT_EQ(migrator.verify(soon()).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(migrator.up(soon()).value(), 1);
  EXPECT_TRUE(migrator.verify(soon()));
  // Cut off while reverting: on this side of the statement, and on the other.
  must("UPDATE schema_migration SET state = 'reverting' WHERE version = 3");
  EXPECT_EQ(migrator.down(1, soon()).value(), 1);
  ASSERT_TRUE(migrator.up(soon()));
  must("UPDATE schema_migration SET state = 'reverting' WHERE version = 3");
  must("ALTER TABLE b DROP COLUMN note");
  EXPECT_EQ(migrator.down(1, soon()).value(), 1);
  EXPECT_EQ(migrator.up(soon()).value(), 1);
}

TEST_F(MigrationsContract, ManyAtOnceApplyEachOnce) {
  std::atomic<int> applied{0}, failed{0};
  std::vector<std::thread> threads;
  threads.reserve(6);
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      const auto count = Migrator(*pool_, kThree).up(soon());
      if (count) {
        applied += *count;
      } else {
        ++failed;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(applied, 3);
}

TEST_F(MigrationsContract, AHeldLockIsWaitedForNoLongerThanTheDeadline) {
  auto holder = pool_->acquire(soon());
  ASSERT_TRUE((*holder)->query(Sql("SELECT GET_LOCK(CONCAT('sluice_schema:', DATABASE()), 0)"), soon()));
  const auto refused = Migrator(*pool_, kThree).up(parts().in(std::chrono::milliseconds(300)));
  EXPECT_EQ(refused.error().code, ErrorCode::kExhausted) << refused.error().message;
}

}  // namespace
}  // namespace sluice::testing
