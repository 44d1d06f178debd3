#include "common/base/result.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return fail(ErrorCode::kInvalid, "odd");
  return value / 2;
}
Result<int> quarter(int value) {
  SLUICE_ASSIGN(const int once, half(value));
  SLUICE_ASSIGN(const int twice, half(once));
  return twice;
}
Status even(int value) {
  SLUICE_TRY(half(value));
  return {};
}

TEST(Result, AssignBindsTheValueOrReturnsTheError) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(quarter(6).error().message, "odd");
}

TEST(Result, TryPassesSuccessAndReturnsTheError) {
  EXPECT_TRUE(even(2).has_value());
  EXPECT_EQ(even(3).error().code, ErrorCode::kInvalid);
}

TEST(Result, EveryCodeHasItsOwnName) {
  EXPECT_EQ(error_code_name(ErrorCode::kOutcomeUnknown), "outcome_unknown");
  EXPECT_EQ(error_code_name(ErrorCode::kExhausted), "exhausted");
  EXPECT_NE(error_code_name(ErrorCode::kCorrupt), error_code_name(ErrorCode::kInternal));
}

}  // namespace
}  // namespace sluice
