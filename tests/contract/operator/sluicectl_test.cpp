// The command itself, as an operator and the start scripts run it.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "common/crypto/crypto.h"
#include "common/mysql/mysql.h"
#include "common/store/mysql_account_store.h"
#include "tests/contract/support/servers.h"

namespace sluice::testing {
namespace {

constexpr const char* kDatabase = "sluice_operator_contract";
constexpr const char* kApiKey = "sk-contract-0123456789abcdef";
constexpr const char* kAdminKey = "sk-contract-admin-0123456789";
constexpr const char* kWebhookSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

struct Outcome {
  int code = -1;
  std::string output;  // Both streams.
};

class Sluicectl : public ::testing::Test {
 protected:
  void SetUp() override {
    SLUICE_REQUIRE_SERVER("SLUICE_MYSQL_HOST");
    SLUICE_REQUIRE_SERVER("SLUICE_RABBITMQ_HOST");
    config_.host = env_or("SLUICE_MYSQL_HOST", "127.0.0.1");
    config_.port = std::stoi(env_or("SLUICE_MYSQL_PORT", "3306"));
    config_.user = env_or("SLUICE_MYSQL_USER", "sluice");
    config_.password = Secret(env_or("SLUICE_MYSQL_PASSWORD", ""));
    config_.database = env_or("SLUICE_MYSQL_DATABASE", "sluice");
    MysqlPool admin(config_, parts().clock, parts().rng, parts().log);
    ASSERT_TRUE(admin.execute(Sql("DROP DATABASE IF EXISTS sluice_operator_contract"), soon()));
    ASSERT_TRUE(admin.execute(Sql("CREATE DATABASE sluice_operator_contract"), soon()));
    config_.database = kDatabase;
    key_file_ = ::testing::TempDir() + "sluicectl_master_key_" + std::to_string(getpid());
    std::ofstream(key_file_) << kMasterKey << "\n";
    std::filesystem::permissions(key_file_,
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  }
  void TearDown() override {
    if (!key_file_.empty()) std::filesystem::remove(key_file_);
  }
  Deadline soon() { return parts().in(std::chrono::seconds(20)); }

  // `settings`: assignments for this run alone.
  Outcome run(const std::string& arguments, const std::string& settings = "") {
    const std::string command = std::string("SLUICE_MYSQL_DATABASE=") + kDatabase +
                                " SLUICE_API_KEY=" + kApiKey + " SLUICE_ADMIN_KEY=" + kAdminKey +
                                " SLUICE_WEBHOOK_SECRET=" + kWebhookSecret +
                                " SLUICE_MASTER_KEY_FILE=" + key_file_ + " " + settings + " " +
                                SLUICE_BINARY_DIR + "/sluicectl " + arguments + " 2>&1";
    Outcome outcome;
    FILE* pipe = popen(command.c_str(), "r");
    if (pipe == nullptr) return outcome;
    char piece[4096];
    while (const std::size_t got = fread(piece, 1, sizeof piece, pipe)) outcome.output.append(piece, got);
    const int status = pclose(pipe);
    outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
  }

  static constexpr const char* kMasterKey = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
  MysqlConfig config_;
  std::string key_file_;
};

TEST_F(Sluicectl, MigratesUpDownAndUp) {
  Outcome outcome = run("migrate up");
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_EQ(run("migrate up").output, "0 migrations applied\n");
  EXPECT_EQ(run("migrate down 2").output, "2 migrations reverted\n");
  outcome = run("migrate status");
  EXPECT_NE(outcome.output.find("0001"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("not applied"), std::string::npos) << outcome.output;
  EXPECT_EQ(run("migrate up").output, "2 migrations applied\n");
  EXPECT_EQ(run("migrate status --json").output.front(), '[');
}

TEST_F(Sluicectl, BootstrapsTwiceToTheSameEnd) {
  ASSERT_EQ(run("migrate up").code, 0);
  for (int i = 0; i < 2; ++i) {
    const Outcome outcome = run("bootstrap");
    ASSERT_EQ(outcome.code, 0) << outcome.output;
    EXPECT_EQ(outcome.output.find(kApiKey), std::string::npos);
  }
  MysqlPool pool(config_, parts().clock, parts().rng, parts().log);
  auto sealer = Sealer::make(Secret(kMasterKey));
  ASSERT_TRUE(sealer);
  MysqlAccountStore accounts(pool, parts().rng, *std::move(sealer));
  const auto user = accounts.find_key(Secret(kApiKey), soon());
  ASSERT_TRUE(user) << user.error().message;
  EXPECT_EQ(user->tenant.value, "default");
  EXPECT_EQ(user->scopes, kScopeSubmit | kScopeRead);
  const auto admin = accounts.find_key(Secret(kAdminKey), soon());
  ASSERT_TRUE(admin);
  EXPECT_EQ(admin->scopes, kScopeSubmit | kScopeRead | kScopeAdmin);
  EXPECT_EQ(accounts.webhook_secret(TenantId{"default"}, soon())->reveal(), kWebhookSecret);
  // At rest nothing can be read.
  const auto leaked = pool.query(
      Sql("SELECT COUNT(*) FROM tenant WHERE INSTR(webhook_secret_sealed, ?) > 0").bind(kWebhookSecret),
      soon());
  ASSERT_TRUE(leaked) << leaked.error().message;
  EXPECT_EQ(leaked->front().int64(0), 0);
}

TEST_F(Sluicectl, BadSecretsAreRefusedAndNeverShown) {
  ASSERT_EQ(run("migrate up").code, 0);
  EXPECT_EQ(run("bootstrap", "SLUICE_API_KEY=short").code, 2);
  EXPECT_EQ(run("bootstrap", "SLUICE_WEBHOOK_SECRET=whsec_short").code, 2);
  const Outcome no_key = run("bootstrap", "SLUICE_MASTER_KEY_FILE=/nonexistent");
  EXPECT_NE(no_key.code, 0);
  EXPECT_EQ(no_key.output.find(kWebhookSecret), std::string::npos);
}

TEST_F(Sluicectl, AppliesAndVerifiesTheTopology) {
  EXPECT_EQ(run("topology apply").code, 0);
  const Outcome outcome = run("topology verify");
  EXPECT_EQ(outcome.code, 0) << outcome.output;
}

TEST_F(Sluicectl, SaysWhatIsWrong) {
  EXPECT_EQ(run("").code, 2);
  EXPECT_EQ(run("frobnicate").code, 2);
  EXPECT_EQ(run("migrate sideways").code, 2);
  EXPECT_EQ(run("migrate down 0").code, 2);
  EXPECT_EQ(run("--help").code, 0);
  const Outcome down = run("migrate up", "SLUICE_MYSQL_PORT=1");
  EXPECT_EQ(down.code, 1);
  EXPECT_NE(down.output.find("mysql"), std::string::npos) << down.output;
  EXPECT_EQ(run("migrate up", "SLUICE_MYSQL_PORT=harbour").code, 2);
}

}  // namespace
}  // namespace sluice::testing
