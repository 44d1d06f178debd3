#include "tests/support/mysql_database.h"

#include <unistd.h>

#include <cstdlib>

#include "common/base/check.h"
#include "common/log/log.h"
#include "common/migrations/migrator.h"

namespace sluice::testing {

namespace {
std::string variable(const char* name, const char* fallback) {
  const char* value = std::getenv(name);
  return value == nullptr ? fallback : value;
}
}  // namespace

MysqlDatabase::MysqlDatabase() {
  config_.host = variable("SLUICE_MYSQL_HOST", "127.0.0.1");
  config_.port = std::atoi(variable("SLUICE_MYSQL_PORT", "3306").c_str());
  config_.user = variable("SLUICE_MYSQL_USER", "sluice");
  config_.password = Secret(variable("SLUICE_MYSQL_PASSWORD", ""));
  config_.database = variable("SLUICE_MYSQL_DATABASE", "sluice");
  const std::string own = "sluice_test_" + std::to_string(getpid());
  const Log log("test", LogLevel::kWarn, clock_);
  {
    MysqlPool server(config_, clock_, rng_, log);
    const auto made = server.execute(Sql("CREATE DATABASE " + own), soon());
    SLUICE_CHECK(made.has_value());
  }
  config_.database = own;
  pool_ = std::make_unique<MysqlPool>(config_, clock_, rng_, log);
  Migrator migrator(*pool_);
  SLUICE_CHECK(migrator.up(soon()).has_value());
}

MysqlDatabase::~MysqlDatabase() {
  execute("DROP DATABASE " + config_.database);
}

MysqlDatabase* MysqlDatabase::instance() {
  if (std::getenv("SLUICE_MYSQL_HOST") == nullptr) return nullptr;
  static MysqlDatabase database;
  return &database;
}

void MysqlDatabase::execute(const std::string& statement) {
  const auto done = pool_->execute(Sql(statement), soon());
  SLUICE_CHECK(done.has_value());
}

void MysqlDatabase::clear_jobs() {
  for (const char* table : {"job",         "job_payload",     "job_result",  "batch",
                            "event",       "event_payload",   "delivery",    "delivery_attempt",
                            "dead_letter", "job_attempt",     "shard_lease", "operation",
                            "audit",       "pause",           "worker",      "webhook_endpoint",
                            "file_batch",  "batch_line",      "line_event",  "file",
                            "file_chunk",  "idempotency_key", "answer",      "follower",
                            "session"}) {
    execute(std::string("DELETE FROM ") + table);
  }
}

}  // namespace sluice::testing
