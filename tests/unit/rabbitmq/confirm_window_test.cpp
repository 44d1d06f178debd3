#include "common/rabbitmq/confirm_window.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace sluice::rabbitmq {
namespace {

using std::chrono::seconds;

class ConfirmWindowTest : public ::testing::Test {
 protected:
  std::uint64_t add(int deadline_s = 10) {
    const std::uint64_t number = ++added_;
    EXPECT_EQ(window_.add(start_ + seconds(added_), start_ + seconds(deadline_s),
                          [this, number](Status status) { ended_[number].push_back(status); }),
              number);
    return number;
  }
  // "ok", the error's code, or "" while it is open; fails on a second ending.
  std::string outcome(std::uint64_t number) {
    if (ended_[number].empty()) return "";
    EXPECT_EQ(ended_[number].size(), 1u) << number;
    return ended_[number][0] ? "ok" : std::string(error_code_name(ended_[number][0].error().code));
  }
  SteadyTime start_{seconds(1000)};
  ConfirmWindow window_;
  std::uint64_t added_ = 0;
  std::map<std::uint64_t, std::vector<Status>> ended_;
};

TEST_F(ConfirmWindowTest, EachConfirmEndsItsMessage) {
  add(), add(), add();
  window_.confirm(2, false, true);
  EXPECT_EQ(outcome(2), "ok");
  EXPECT_EQ(outcome(1), "");
  window_.confirm(1, false, false);
  EXPECT_EQ(outcome(1), "exhausted");
  EXPECT_EQ(window_.size(), 1u);
  window_.confirm(3, false, true);
  EXPECT_EQ(window_.size(), 0u);
  EXPECT_EQ(window_.earliest_deadline(), SteadyTime::max());
}

TEST_F(ConfirmWindowTest, AMultipleConfirmEndsAllBeforeIt) {
  for (int i = 0; i < 5; ++i) add();
  window_.confirm(2, false, false);
  window_.confirm(4, true, true);
  EXPECT_EQ(outcome(1), "ok");
  EXPECT_EQ(outcome(2), "exhausted");
  EXPECT_EQ(outcome(3), "ok");
  EXPECT_EQ(outcome(4), "ok");
  EXPECT_EQ(outcome(5), "");
}

TEST_F(ConfirmWindowTest, AReturnedMessageEndsAsNotFoundOnlyOnceConfirmed) {
  add(), add();
  window_.returned("2", "NO_ROUTE");
  EXPECT_EQ(outcome(2), "");
  window_.confirm(2, true, true);
  EXPECT_EQ(outcome(1), "ok");
  EXPECT_EQ(outcome(2), "not_found");
}

TEST_F(ConfirmWindowTest, StrayAndDoubledConfirmsAreHarmless) {
  add();
  window_.confirm(0, false, true);
  window_.confirm(0, true, true);
  window_.confirm(7, true, true);
  window_.returned("9", "x");
  window_.returned("no number", "x");
  EXPECT_EQ(outcome(1), "");
  window_.confirm(1, false, true);
  window_.confirm(1, false, true);
  EXPECT_EQ(outcome(1), "ok");
}

TEST_F(ConfirmWindowTest, ALostChannelEndsAllOpenOnesAndCountsAnew) {
  add(), add(), add();
  window_.confirm(2, false, true);
  window_.fail_all(Error{ErrorCode::kOutcomeUnknown, "lost"});
  EXPECT_EQ(outcome(1), "outcome_unknown");
  EXPECT_EQ(outcome(2), "ok");
  EXPECT_EQ(outcome(3), "outcome_unknown");
  added_ = 0;
  ended_.clear();
  add();
  window_.confirm(1, false, true);
  EXPECT_EQ(outcome(1), "ok");
}

TEST_F(ConfirmWindowTest, OnlyOpenMessagesExpireAndEachOnce) {
  add(5), add(20), add(6), add(6);
  EXPECT_EQ(window_.expire(start_ + seconds(4)), std::nullopt);
  window_.confirm(1, false, true);
  EXPECT_EQ(window_.expire(start_ + seconds(5)), std::nullopt);
  EXPECT_EQ(window_.earliest_deadline(), start_ + seconds(6));
  EXPECT_EQ(window_.expire(start_ + seconds(6)), start_ + seconds(4));  // The newest was sent as the fourth.
  EXPECT_EQ(outcome(3), "outcome_unknown");
  EXPECT_EQ(outcome(4), "outcome_unknown");
  EXPECT_EQ(outcome(2), "");
  window_.confirm(4, true, true);  // Too late for two of them, and in time for one.
  EXPECT_EQ(outcome(2), "ok");
  EXPECT_EQ(outcome(3), "outcome_unknown");
  EXPECT_EQ(window_.size(), 0u);
  EXPECT_EQ(window_.earliest_deadline(), SteadyTime::max());
}

TEST_F(ConfirmWindowTest, AnEndingMayAddTheNextMessage) {
  int chained = 0;
  std::function<void(Status)> again = [&](Status) {
    if (++chained < 3) window_.add(start_, start_, again);
  };
  window_.add(start_, start_, again);
  for (std::uint64_t number = 1; number <= 3; ++number) window_.confirm(number, false, true);
  EXPECT_EQ(chained, 3);
}

}  // namespace
}  // namespace sluice::rabbitmq
