#include "producer/dispatch/fair_share.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sluice::producer {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const TenantId kA{"a"};
const TenantId kB{"b"};
const TenantId kC{"c"};

class FairShareTest : public ::testing::Test {
 protected:
  TenantTasks tasks(const TenantId& tenant, int count, std::int64_t tokens, bool more = false) {
    TenantTasks made;
    made.more = more;
    for (int i = 0; i < count; ++i) {
      DueTask task;
      task.tenant = tenant;
      task.tokens_max = tokens;
      made.tasks.push_back(std::move(task));
    }
    return made;
  }
  // The tenants of the next jobs: "aab".
  std::string take(std::size_t max) {
    std::string order;
    for (const DueTask& task : fair_.take(tasks_, max)) order += task.tenant.value;
    return order;
  }

  FairShare fair_{100};
  std::map<TenantId, TenantTasks> tasks_;
};

TEST_F(FairShareTest, EachTurnIsWorthTheSameTokensWhateverTheJobsSize) {
  fair_.wait(kA);
  fair_.wait(kB);
  tasks_[kA] = tasks(kA, 100, 25);
  tasks_[kB] = tasks(kB, 100, 50);
  EXPECT_EQ(take(12), "aaaabbaaaabb");
}

TEST_F(FairShareTest, ATurnGoesOnWhereTheRoomEnded) {
  fair_.wait(kA);
  fair_.wait(kB);
  tasks_[kA] = tasks(kA, 100, 25);
  tasks_[kB] = tasks(kB, 100, 25);
  std::string order;
  for (int i = 0; i < 12; ++i) order += take(1);
  EXPECT_EQ(order, "aaaabbbbaaaa");
}

TEST_F(FairShareTest, AJobOverTheTurnIsPaidInTheNextOnes) {
  fair_.wait(kA);
  fair_.wait(kB);
  tasks_[kA] = tasks(kA, 2, 400);
  tasks_[kB] = tasks(kB, 20, 100);
  EXPECT_EQ(take(6), "abbbba");
}

TEST_F(FairShareTest, ANewcomerGoesBeforeARoundOfEverybodyForOneTurn) {
  for (int i = 0; i < 50; ++i) {
    const TenantId tenant{"t" + std::to_string(i)};
    fair_.wait(tenant);
    tasks_[tenant] = tasks(tenant, 10, 100);
  }
  take(60);  // All have had a turn.
  fair_.wait(kA);
  tasks_[kA] = tasks(kA, 10, 50);
  const std::string order = take(10);
  EXPECT_EQ(order.find('a'), 0U) << order;
  EXPECT_EQ(order.rfind('a'), 1U) << order;
}

TEST_F(FairShareTest, ComingAndGoingIsNoWayToTheFront) {
  fair_.wait(kB);
  tasks_[kB] = tasks(kB, 100, 25);
  take(4);  // The other is no newcomer any more.
  fair_.wait(kA);
  tasks_[kA] = tasks(kA, 1, 25);
  EXPECT_EQ(take(1), "a");  // And it rests.
  EXPECT_EQ(take(1), "b");
  fair_.wait(kA);
  tasks_[kA] = tasks(kA, 1, 25);
  EXPECT_EQ(take(4), "bbba");  // The other's turn goes on first.
}

TEST_F(FairShareTest, WhoseJobsAreNotAtHandKeepsItsTurn) {
  fair_.wait(kA);
  fair_.wait(kB);
  fair_.wait(kC);
  tasks_[kA] = tasks(kA, 2, 25, true);
  tasks_[kC] = tasks(kC, 1, 25);
  EXPECT_EQ(take(100), "aac");
  EXPECT_TRUE(fair_.waits(kA));
  EXPECT_FALSE(fair_.waits(kC));
  EXPECT_THAT(fair_.upcoming(5), ElementsAre(kA, kB));
  tasks_[kA] = tasks(kA, 10, 25);
  tasks_[kB] = tasks(kB, 10, 25);
  EXPECT_EQ(take(6), "aabbbb");
}

TEST_F(FairShareTest, WithNobodyWaitingAllMayPass) {
  EXPECT_EQ(fair_.pass(kA, {1000, 1000, 1000}), 3U);
  EXPECT_EQ(fair_.pass(kA, {1000}), 1U);
}

TEST_F(FairShareTest, PastTheTurnsGoesOnlyWhatThemselvesWouldHaveGiven) {
  fair_.wait(kA);
  tasks_[kA] = tasks(kA, 1000, 50);
  EXPECT_EQ(fair_.pass(kA, {1}), 0U);
  EXPECT_EQ(fair_.pass(kB, {50, 50, 50}), 2U);
  EXPECT_EQ(fair_.pass(kB, {50}), 0U);
  EXPECT_EQ(take(2), "aa");
  EXPECT_EQ(fair_.pass(kB, {50}), 0U);
  EXPECT_EQ(take(4), "aaaa");  // Rounds in which the other had nothing to send.
  EXPECT_EQ(fair_.pass(kB, {50, 50, 50}), 2U);
}

TEST_F(FairShareTest, DebtsAreForgottenWhenNobodyWaits) {
  fair_.wait(kA);
  EXPECT_EQ(fair_.pass(kB, {5000}), 1U);
  EXPECT_EQ(fair_.pass(kB, {50}), 0U);
  fair_.rest(kA);
  EXPECT_EQ(fair_.waiting(), 0U);
  EXPECT_EQ(fair_.pass(kB, {50}), 1U);
  EXPECT_THAT(fair_.upcoming(5), IsEmpty());
}

TEST_F(FairShareTest, JobsWithoutACountStillCost) {
  fair_.wait(kA);
  fair_.wait(kB);
  tasks_[kA] = tasks(kA, 1000, 0);
  tasks_[kB] = tasks(kB, 1000, 0);
  EXPECT_EQ(take(101).find('b'), 100U);
}

}  // namespace
}  // namespace sluice::producer
