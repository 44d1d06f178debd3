#include "common/mysql/sql.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

namespace sluice {
namespace {

using namespace std::string_literals;

std::string text_of(const Sql& sql) {
  auto text = sql.statement();
  return text ? *text
              : "ERROR " + std::string(error_code_name(text.error().code)) + ": " + text.error().message;
}

TEST(Sql, ValuesFillPlaceholdersInOrder) {
  Sql sql("SELECT a FROM t WHERE b = ? AND c > ? AND d = ?");
  sql.bind("x").bind(-7).bind(std::nullopt);
  EXPECT_EQ(text_of(sql), "SELECT a FROM t WHERE b = 'x' AND c > -7 AND d = NULL");
}

TEST(Sql, AQuestionMarkInsideAValueIsNoPlaceholder) {
  Sql sql("UPDATE t SET a = ?, b = ?");
  sql.bind("who? what?").bind(std::string_view("?"));
  EXPECT_EQ(text_of(sql), "UPDATE t SET a = 'who? what?', b = '?'");
}

TEST(Sql, NothingInATextEndsItsLiteral) {
  EXPECT_EQ(text_of(Sql("SELECT ").param("'; DROP TABLE job; -- ")), R"(SELECT '\'; DROP TABLE job; -- ')");
  EXPECT_EQ(text_of(Sql("SELECT ").param(R"(\')")), R"(SELECT '\\\'')");
  EXPECT_EQ(text_of(Sql("SELECT ").param("a\0b\n\r\x1a\"c"s)), R"(SELECT 'a\0b\n\r\Z\"c')");
  EXPECT_EQ(text_of(Sql("SELECT ").param("深度求索 🦊")), "SELECT '深度求索 🦊'");
}

TEST(Sql, NumbersKeepTheirValue) {
  EXPECT_EQ(text_of(Sql().param(std::numeric_limits<std::int64_t>::min())), "-9223372036854775808");
  EXPECT_EQ(text_of(Sql().param(std::numeric_limits<std::uint64_t>::max())), "18446744073709551615");
  EXPECT_EQ(text_of(Sql().param(true).text(",").param(false)), "1,0");
  EXPECT_EQ(std::strtod(text_of(Sql().param(0.1)).c_str(), nullptr), 0.1);
  EXPECT_EQ(std::strtod(text_of(Sql().param(5e-324)).c_str(), nullptr), 5e-324);
}

TEST(Sql, BytesAreHex) {
  EXPECT_EQ(text_of(Sql().param(SqlBytes{"\x00\xff'"s})), "x'00ff27'");
  EXPECT_EQ(text_of(Sql().param(SqlBytes{""})), "x''");
}

TEST(Sql, OptionalIsItsValueOrNull) {
  EXPECT_EQ(text_of(Sql().row(std::optional<int>(3), std::optional<std::string>())), "(3,NULL)");
}

TEST(Sql, RowsAreSeparatedByCommas) {
  Sql sql("INSERT INTO t (a, b) VALUES ");
  for (int i = 0; i < 3; ++i) sql.row(i, "v");
  sql.text(" ON DUPLICATE KEY UPDATE b = ?").bind("w");
  EXPECT_EQ(text_of(sql),
            "INSERT INTO t (a, b) VALUES (0,'v'),(1,'v'),(2,'v') ON DUPLICATE KEY UPDATE b = 'w'");
}

TEST(Sql, ListsFollowText) {
  Sql sql("SELECT id FROM t WHERE id IN ");
  sql.list(std::vector<std::string>{"a", "b'"}).text(" AND n IN ").list(std::vector<int>{1});
  EXPECT_EQ(text_of(sql), R"(SELECT id FROM t WHERE id IN ('a','b\'') AND n IN (1))");
}

TEST(Sql, AStatementFromAFileIsLeftAsItIs) {
  EXPECT_EQ(text_of(Sql::verbatim("CREATE TABLE t (a INT COMMENT 'why?')")),
            "CREATE TABLE t (a INT COMMENT 'why?')");
}

TEST(Sql, MisuseIsRefusedAndNeverSent) {
  EXPECT_EQ(text_of(Sql("SELECT ?")), "ERROR internal: misused statement: a placeholder without a value");
  EXPECT_EQ(text_of(Sql("SELECT 1").bind(1)),
            "ERROR internal: misused statement: more values than placeholders");
  EXPECT_EQ(text_of(Sql("SELECT ? ").param(1).bind(1)),
            "ERROR internal: misused statement: a value after a placeholder that has none yet");
  EXPECT_EQ(text_of(Sql("IN ").list(std::vector<int>{})), "ERROR internal: misused statement: an empty list");
  EXPECT_EQ(text_of(Sql().param(std::numeric_limits<double>::infinity())),
            "ERROR internal: misused statement: a number that is not finite");
}

}  // namespace
}  // namespace sluice
