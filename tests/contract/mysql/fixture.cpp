#include "tests/contract/mysql/fixture.h"

namespace sluice::testing {

MysqlConfig mysql_config() {
  MysqlConfig config;
  config.host = env_or("SLUICE_MYSQL_HOST", "127.0.0.1");
  config.port = std::stoi(env_or("SLUICE_MYSQL_PORT", "3306"));
  config.user = env_or("SLUICE_MYSQL_USER", "sluice");
  config.password = Secret(env_or("SLUICE_MYSQL_PASSWORD", ""));
  config.database = "sluice_mysql_contract";
  config.read_timeout = std::chrono::seconds(3);
  return config;
}

void MysqlContract::SetUp() {
  SLUICE_REQUIRE_SERVER("SLUICE_MYSQL_HOST");
  MysqlConfig outside = mysql_config();
  outside.database = env_or("SLUICE_MYSQL_DATABASE", "sluice");
  MysqlPool admin(outside, parts().clock, parts().rng, parts().log);
  const auto created = admin.execute(Sql("CREATE DATABASE IF NOT EXISTS sluice_mysql_contract"), soon());
  ASSERT_TRUE(created) << created.error().message;
  pool_ = make_pool();
  must("DROP TABLE IF EXISTS t");
  must(
      "CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(20) NULL, big LONGTEXT NULL, raw LONGBLOB NULL, "
      "ratio DOUBLE NULL, CONSTRAINT name_taken UNIQUE (name)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4");
}

std::unique_ptr<MysqlPool> MysqlContract::make_pool(MysqlConfig config) {
  return std::make_unique<MysqlPool>(std::move(config), parts().clock, parts().rng, parts().log);
}

void MysqlContract::must(const std::string& text) {
  const auto done = pool_->execute(Sql(text), soon());
  ASSERT_TRUE(done) << text << ": " << done.error().message;
}

std::int64_t MysqlContract::number(const std::string& text) {
  const auto rows = pool_->query(Sql(text), soon());
  EXPECT_TRUE(rows) << text << ": " << rows.error().message;
  return rows && !rows->empty() ? rows->front().int64_or(0, -1) : -1;
}

std::int64_t MysqlContract::session_of(MysqlConnection& connection) {
  const auto rows = connection.query(Sql("SELECT CONNECTION_ID()"), parts().in(std::chrono::seconds(5)));
  EXPECT_TRUE(rows);
  return rows ? rows->front().int64(0) : 0;
}

bool MysqlContract::waits_for_lock(std::int64_t session) {
  return eventually([&] {
    return number(
               "SELECT COUNT(*) FROM information_schema.processlist WHERE command = 'Query' AND state = "
               "'Updating' "
               "AND time_ms > 50 AND id = " +
               std::to_string(session)) == 1;
  });
}

void MysqlContract::kill_session(std::int64_t session) {
  const auto killed = pool_->execute(Sql("KILL ").param(session), soon());
  ASSERT_TRUE(killed) << killed.error().message;
  // KILL returns before the session is gone.
  ASSERT_TRUE(eventually([&] {
    return number("SELECT COUNT(*) FROM information_schema.processlist WHERE id = " +
                  std::to_string(session)) == 0;
  }));
}

}  // namespace sluice::testing
