// A database of this test binary's own, emptied of its tables before each test.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/mysql/mysql.h"
#include "tests/contract/support/servers.h"

namespace sluice::testing {

MysqlConfig mysql_config();  // From SLUICE_MYSQL_…, database sluice_mysql_contract.

class MysqlContract : public ::testing::Test {
 protected:
  void SetUp() override;
  std::unique_ptr<MysqlPool> make_pool(MysqlConfig config = mysql_config());
  Deadline soon() { return parts().in(std::chrono::seconds(10)); }
  // Runs a statement that must succeed.
  void must(const std::string& text);
  // One number, from the pool.
  std::int64_t number(const std::string& text);
  // The session's id, to be killed from another.
  static std::int64_t session_of(MysqlConnection& connection);
  // Waits until the session's update stands before a row lock; false if it never does.
  bool waits_for_lock(std::int64_t session);
  void kill_session(std::int64_t session);

  std::unique_ptr<MysqlPool> pool_;
};

}  // namespace sluice::testing
