#include "worker/consumer/lanes.h"

#include <gtest/gtest.h>

#include <array>

namespace sluice::worker {
namespace {

TaskDelivery delivery(Priority lane, std::uint64_t number, SteadyTime received = {},
                      std::uint64_t epoch = 1) {
  return {DeliveryTag{epoch, 1, number}, {JobId{"job_" + std::to_string(number)}, 1, 0}, lane, received};
}

void fill(Lanes& lanes, Priority lane, int count) {
  for (int i = 0; i < count; ++i) lanes.push(delivery(lane, static_cast<std::uint64_t>(i)));
}

std::array<int, kPriorities> count(const std::vector<TaskDelivery>& deliveries) {
  std::array<int, kPriorities> counts{};
  for (const auto& d : deliveries) ++counts[static_cast<std::size_t>(d.lane)];
  return counts;
}

TEST(Lanes, FullLinesShareByWeight) {
  Lanes lanes({8, 4, 1});
  for (const Priority lane : {Priority::kLow, Priority::kNormal, Priority::kHigh}) fill(lanes, lane, 100);
  EXPECT_EQ(count(lanes.take(26)), (std::array<int, 3>{16, 8, 2}));
}

TEST(Lanes, LowGetsItsTurnHoweverSmallTheBites) {
  Lanes lanes({8, 4, 1});
  fill(lanes, Priority::kHigh, 1000);
  fill(lanes, Priority::kLow, 1000);
  int low = 0;
  for (int i = 0; i < 90; ++i) low += count(lanes.take(1))[2];
  EXPECT_EQ(low, 10);
}

TEST(Lanes, PrefetchedLowHoldsNoPlaceThatHighCouldHave) {
  Lanes lanes({8, 4, 1});
  fill(lanes, Priority::kLow, 64);
  EXPECT_EQ(count(lanes.take(4)), (std::array<int, 3>{0, 0, 4}));  // Nobody else is there.
  fill(lanes, Priority::kHigh, 8);
  const auto next = count(lanes.take(9));
  EXPECT_EQ(next, (std::array<int, 3>{8, 0, 1}));
}

TEST(Lanes, AWaitSavesUpNoTurns) {
  Lanes lanes({1, 1, 1});
  fill(lanes, Priority::kLow, 100);
  (void)lanes.take(50);
  fill(lanes, Priority::kHigh, 100);
  EXPECT_EQ(count(lanes.take(20)), (std::array<int, 3>{10, 0, 10}));
}

TEST(Lanes, WhatIsPutBackKeepsItsOrder) {
  Lanes lanes;
  for (std::uint64_t i = 1; i <= 5; ++i) lanes.push(delivery(Priority::kNormal, i));
  lanes.put_back(lanes.take(3));
  const auto all = lanes.take(5);
  for (std::uint64_t i = 0; i < 5; ++i) EXPECT_EQ(all[i].tag.number, i + 1);
}

TEST(Lanes, TakesTheOld) {
  Lanes lanes;
  const SteadyTime start{};
  lanes.push(delivery(Priority::kHigh, 1, start));
  lanes.push(delivery(Priority::kLow, 2, start + std::chrono::seconds(10)));
  const auto old = lanes.take_older(start + std::chrono::seconds(10));
  ASSERT_EQ(old.size(), 1U);
  EXPECT_EQ(old[0].tag.number, 1U);
  EXPECT_EQ(lanes.take_all()[0].tag.number, 2U);
}

TEST(Lanes, ANewSubscriptionReplacesWhatTheOldOneBroughtToItsOwnLineOnly) {
  Lanes lanes;
  lanes.push(delivery(Priority::kHigh, 1, {}, 1));
  lanes.push(delivery(Priority::kLow, 2, {}, 2));
  lanes.push(delivery(Priority::kLow, 3, {}, 2));
  EXPECT_EQ(lanes.size(), 3U);
  lanes.push(delivery(Priority::kHigh, 4, {}, 3));
  const auto left = lanes.take_all();
  ASSERT_EQ(left.size(), 3U);
  EXPECT_EQ(left[0].tag.number, 4U);
  EXPECT_EQ(left[1].tag.number, 2U);
}

TEST(Lanes, WhereLowHasNoPlaceTheOthersKeepTheirShares) {
  Lanes lanes({8, 4, 1});
  for (const Priority lane : {Priority::kLow, Priority::kNormal, Priority::kHigh}) fill(lanes, lane, 100);
  EXPECT_EQ(count(lanes.take(12, Priority::kNormal)), (std::array<int, 3>{8, 4, 0}));
  EXPECT_EQ(count(lanes.take(26)), (std::array<int, 3>{16, 8, 2}));
  EXPECT_TRUE(Lanes().take(4, Priority::kNormal).empty());
}

}  // namespace
}  // namespace sluice::worker
