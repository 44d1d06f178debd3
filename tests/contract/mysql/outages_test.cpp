#include <gtest/gtest.h>
#include <signal.h>

#include <string>
#include <vector>

#include "tests/contract/mysql/fixture.h"

namespace sluice::testing {
namespace {

TEST_F(MysqlContract, NobodyThereFailsFastAndHammersNobody) {
  MysqlConfig config = mysql_config();
  config.port = 1;  // Nothing listens there.
  auto nowhere = make_pool(config);
  const double took = seconds_of([&] {
    for (int i = 0; i < 1000; ++i) {
      EXPECT_EQ(nowhere->query(Sql("SELECT 1"), soon()).error().code, ErrorCode::kUnavailable);
    }
  });
  EXPECT_LT(took, 1.0);
  EXPECT_LE(nowhere->stats().connect_failures, 6u);
  EXPECT_EQ(nowhere->stats().connections, 0);
}

TEST_F(MysqlContract, AWrongPasswordIsUnavailableAndSaysWhy) {
  MysqlConfig config = mysql_config();
  config.password = Secret("wrong");
  auto refused = make_pool(config);
  const auto rows = refused->query(Sql("SELECT 1"), soon());
  EXPECT_EQ(rows.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(rows.error().message.find("1045"), std::string::npos) << rows.error().message;
}

TEST_F(MysqlContract, APlaintextServerIsRefusedWhereTlsIsAskedFor) {
  if (number("SELECT @@have_ssl = 'YES'") == 1) GTEST_SKIP() << "this server has TLS";
  MysqlConfig config = mysql_config();
  config.tls_ca_file = "/etc/ssl/certs/ca-certificates.crt";
  EXPECT_EQ(make_pool(config)->query(Sql("SELECT 1"), soon()).error().code, ErrorCode::kUnavailable);
}

TEST_F(MysqlContract, ARestartedServerIsFoundAgain) {
  SLUICE_REQUIRE_OWN_STACK();
  auto warm = make_pool();
  {
    auto one = warm->acquire(soon());
    auto two = warm->acquire(soon());
  }
  ASSERT_EQ(warm->stats().connections, 2);
  ServerOutage outage("mysql");
  // Idle connections are dead and the server is away: refused quickly, however long the deadline.
  for (int i = 0; i < 3; ++i) {
    Status status;
    const double took = seconds_of([&] {
      status = warm->transaction(soon(), [&](MysqlConnection& db) -> Status {
        SLUICE_TRY(db.query(Sql("SELECT 1"), soon()));
        return {};
      });
    });
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kUnavailable) << status.error().message;
    EXPECT_LT(took, 2.0);
  }
  EXPECT_EQ(warm->stats().connections, 0);
  ASSERT_TRUE(outage.end());
  EXPECT_TRUE(eventually([&] { return warm->query(Sql("SELECT 1"), soon()).has_value(); }));
}

TEST_F(MysqlContract, ARestartBetweenTwoCallsIsNotNoticedByReadersAndTransactions) {
  SLUICE_REQUIRE_OWN_STACK();
  {
    auto one = pool_->acquire(soon());
    auto two = pool_->acquire(soon());
  }
  ASSERT_TRUE(stack("restart mysql"));
  const Status status = pool_->transaction(soon(), [&](MysqlConnection& db) -> Status {
    SLUICE_TRY(db.execute(Sql("INSERT INTO t (id) VALUES (1)"), soon()));
    return {};
  });
  EXPECT_TRUE(status) << status.error().message;
  EXPECT_EQ(number("SELECT COUNT(*) FROM t"), 1);
}

TEST_F(MysqlContract, AHungServerHoldsACallNoLongerThanTheReadTimeout) {
  SLUICE_REQUIRE_OWN_STACK();
  MysqlConfig config = mysql_config();
  config.read_timeout = std::chrono::seconds(1);
  auto patient = make_pool(config);
  ASSERT_TRUE(patient->query(Sql("SELECT 1"), soon()));
  const int server = stack_pid("mysql");
  ASSERT_GT(server, 0);
  Status status;
  const double took = seconds_of([&] {
    const auto inside = patient->transaction(soon(), [&](MysqlConnection& db) -> Status {
      SLUICE_TRY(db.execute(Sql("INSERT INTO t (id) VALUES (1)"), soon()));
      kill(server, SIGSTOP);
      return {};
    });
    status = inside;
  });
  kill(server, SIGCONT);
  ASSERT_FALSE(status);
  // The COMMIT was sent: it may still happen, and here it does.
  EXPECT_EQ(status.error().code, ErrorCode::kOutcomeUnknown) << status.error().message;
  EXPECT_LT(took, 2.5);
  EXPECT_TRUE(eventually([&] { return number("SELECT COUNT(*) FROM t") == 1; }));
}

}  // namespace
}  // namespace sluice::testing
