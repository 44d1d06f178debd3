#include "common/mysql/rows.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

Rows sample() {
  Rows rows(3);
  rows.add("job_1");
  rows.add("-42");
  rows.add_null();
  rows.add(std::string_view("a\0b", 3));
  rows.add("18");
  rows.add("2.5");
  return rows;
}

TEST(Rows, CellsAreReadByRowAndColumn) {
  const Rows rows = sample();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].text(0), "job_1");
  EXPECT_EQ(rows[0].int64(1), -42);
  EXPECT_EQ(rows[1].str(0), std::string("a\0b", 3));
  EXPECT_EQ(rows[1].float64(2), 2.5);
}

TEST(Rows, NullIsNoValue) {
  const Rows rows = sample();
  EXPECT_TRUE(rows[0].is_null(2));
  EXPECT_EQ(rows[0].int64_or_null(2), std::nullopt);
  EXPECT_EQ(rows[0].int64_or(2, 7), 7);
  EXPECT_EQ(rows[0].str_or(2, "none"), "none");
  EXPECT_FALSE(rows[0].is_null(1));
}

TEST(Rows, IteratesInOrderAndKnowsEmptiness) {
  std::vector<std::string> seen;
  for (const Row row : sample()) seen.push_back(row.str(1));
  EXPECT_EQ(seen, (std::vector<std::string>{"-42", "18"}));
  EXPECT_TRUE(Rows(4).empty());
  EXPECT_TRUE(Rows().empty());
}

TEST(RowsDeathTest, MistakenReadsAbort) {
  const Rows rows = sample();
  EXPECT_DEATH(rows[0].text(3), "check_failed");
  EXPECT_DEATH(rows[2].text(0), "check_failed");
  EXPECT_DEATH(rows[0].int64(0), "check_failed");
  EXPECT_DEATH(rows[0].text(2), "check_failed");
}

}  // namespace
}  // namespace sluice
