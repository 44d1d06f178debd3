#include "common/mysql/fault.h"

#include <gtest/gtest.h>

#include "common/mysql/mysql.h"

namespace sluice {
namespace {

using mysql::classify;
using mysql::Phase;

TEST(MysqlFault, ALostConnectionMeansWhatWasUnderWay) {
  for (const int number : {2006, 2013, 1927, 1053}) {
    EXPECT_EQ(classify(number, "gone", Phase::kQuery).error.code, ErrorCode::kUnavailable) << number;
    EXPECT_EQ(classify(number, "gone", Phase::kInTransaction).error.code, ErrorCode::kUnavailable) << number;
    EXPECT_EQ(classify(number, "gone", Phase::kExecute).error.code, ErrorCode::kOutcomeUnknown) << number;
    EXPECT_EQ(classify(number, "gone", Phase::kCommit).error.code, ErrorCode::kOutcomeUnknown) << number;
    EXPECT_TRUE(classify(number, "gone", Phase::kInTransaction).broken) << number;
  }
}

TEST(MysqlFault, DeadlocksAndLockWaitsRunAgain) {
  for (const int number : {1205, 1213}) {
    const auto fault = classify(number, "try restarting transaction", Phase::kInTransaction);
    EXPECT_TRUE(fault.retry_transaction);
    EXPECT_FALSE(fault.broken);
    EXPECT_EQ(fault.error.code, ErrorCode::kUnavailable);
  }
}

TEST(MysqlFault, OnlyARollbackMakesAFailedCommitCertain) {
  EXPECT_EQ(classify(1213, "deadlock", Phase::kCommit).error.code, ErrorCode::kUnavailable);
  EXPECT_EQ(classify(1180, "error during commit", Phase::kCommit).error.code, ErrorCode::kOutcomeUnknown);
  EXPECT_TRUE(classify(1180, "error during commit", Phase::kCommit).broken);
}

TEST(MysqlFault, ADuplicateNamesItsKeyAndNotItsValue) {
  const auto maria = classify(1062, "Duplicate entry 'it's 'quoted'' for key 'idem_by_key'", Phase::kExecute);
  EXPECT_EQ(maria.error.code, ErrorCode::kConflict);
  EXPECT_EQ(duplicate_key(maria.error), "idem_by_key");
  EXPECT_EQ(maria.error.message.find("quoted"), std::string::npos);
  const auto mysql8 = classify(1062, "Duplicate entry 'a' for key 'job.PRIMARY'", Phase::kExecute);
  EXPECT_EQ(duplicate_key(mysql8.error), "PRIMARY");
  EXPECT_EQ(duplicate_key(Error{ErrorCode::kConflict, "something else"}), "");
}

TEST(MysqlFault, MessagesNeverQuoteData) {
  const auto syntax = classify(1064, "You have an error … near 'my private prompt'", Phase::kQuery);
  EXPECT_EQ(syntax.error.code, ErrorCode::kInternal);
  EXPECT_EQ(syntax.error.message.find("private"), std::string::npos);
  const auto charset =
      classify(1366, "Incorrect string value: '\\xFFprivate' for column `sluice`.`job`.`model` at row 3",
               Phase::kExecute);
  EXPECT_EQ(charset.error.code, ErrorCode::kInvalid);
  EXPECT_EQ(charset.error.message, "mysql 1366: incorrect value for column `sluice`.`job`.`model` at row 3");
}

TEST(MysqlFault, TheServersNumberCanBeReadBack) {
  EXPECT_EQ(server_error_number(classify(1050, "Table 't' already exists", Phase::kExecute).error), 1050);
  EXPECT_EQ(server_error_number(classify(1064, "private", Phase::kExecute).error), 1064);
  EXPECT_EQ(server_error_number(Error{ErrorCode::kInternal, "no number"}), 0);
}

TEST(MysqlFault, DataThatDoesNotFitIsTheCallersFault) {
  for (const int number : {1406, 1264, 1048, 4025, 3819, 1452}) {
    EXPECT_EQ(classify(number, "text", Phase::kInTransaction).error.code, ErrorCode::kInvalid) << number;
  }
}

TEST(MysqlFault, RefusalsAtConnectingAreUnavailable) {
  for (const int number : {1040, 1045, 1049, 2002, 2003, 2026}) {
    EXPECT_EQ(classify(number, "no", Phase::kConnect).error.code, ErrorCode::kUnavailable) << number;
  }
}

TEST(MysqlFault, AStatementPastItsLimitIsADeadline) {
  EXPECT_EQ(classify(1969, "max_statement_time exceeded", Phase::kExecute).error.code, ErrorCode::kDeadline);
  EXPECT_FALSE(classify(1969, "max_statement_time exceeded", Phase::kExecute).broken);
}

}  // namespace
}  // namespace sluice
