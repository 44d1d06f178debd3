// What tests run on that ask the real database only: without a server they skip.
#pragma once

#include <gtest/gtest.h>

#include "tests/support/mysql_database.h"

namespace sluice::testing {

class MysqlTest : public ::testing::Test {
 protected:
  // In place of SetUp(), which would go on after a skip in the one that it calls: here there is a database.
  virtual void prepare() {}

  void SetUp() final {
    database_ = MysqlDatabase::instance();
    if (database_ == nullptr) GTEST_SKIP() << "SLUICE_MYSQL_HOST is not set";
    prepare();
  }
  Deadline soon() { return database_->soon(); }

  MysqlDatabase* database_ = nullptr;
};

}  // namespace sluice::testing
