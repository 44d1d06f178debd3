#include "worker/consumer/held_jobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

TaskRef ref(const std::string& id, int attempt = 1) {
  return {JobId{"job_" + id}, 1, attempt};
}
HeldJob held(const TaskRef& r, SteadyTime received = {}) {
  return {r, DeliveryTag{1, 1, 7}, false, received};
}

TEST(HeldJobs, WhatTheStoreNoLongerNamesIsLostAndToldOnce) {
  HeldJobs jobs;
  jobs.add(held(ref("a")));
  jobs.add(held(ref("b")));
  const std::vector<TaskRef> asked = jobs.refs();
  jobs.add(held(ref("c")));  // Claimed while the heartbeat was under way.
  EXPECT_THAT(jobs.mark_lost(asked, {ref("a")}), ElementsAre(ref("b")));
  EXPECT_THAT(jobs.mark_lost(asked, {ref("a")}), IsEmpty());
  EXPECT_THAT(jobs.refs(), UnorderedElementsAre(ref("a"), ref("c")));
}

TEST(HeldJobs, WhoseEndingIsBeingWrittenIsLeftToTheStoresAnswer) {
  HeldJobs jobs;
  jobs.add(held(ref("a")));
  const auto asked = jobs.refs();
  ASSERT_TRUE(jobs.begin_ending(start_key(ref("a"))).has_value());
  EXPECT_THAT(jobs.mark_lost(asked, {}), IsEmpty());
  EXPECT_THAT(jobs.refs(), ElementsAre(ref("a")));  // Its lease is kept alive all the same.
}

TEST(HeldJobs, ANewerStartOfTheSameJobShowsThatTheOlderIsLost) {
  HeldJobs jobs;
  jobs.add(held(ref("a", 9)));
  jobs.add(held(ref("ab", 1)));
  EXPECT_THAT(jobs.add(held(ref("a", 10))), ElementsAre(start_key(ref("a", 9))));
  EXPECT_THAT(jobs.refs(), UnorderedElementsAre(ref("a", 10), ref("ab", 1)));
  EXPECT_EQ(jobs.size(), 3U);
}

TEST(HeldJobs, OldMessagesAreAckedOnce) {
  HeldJobs jobs;
  const SteadyTime start{};
  jobs.add(held(ref("a"), start));
  jobs.add(held(ref("b"), start + std::chrono::minutes(5)));
  EXPECT_EQ(jobs.ack_older(start + std::chrono::minutes(1)).size(), 1U);
  EXPECT_EQ(jobs.ack_older(start + std::chrono::minutes(1)).size(), 0U);
  EXPECT_TRUE(jobs.remove(start_key(ref("a")))->acked);
  EXPECT_FALSE(jobs.remove(start_key(ref("b")))->acked);
  EXPECT_FALSE(jobs.remove(start_key(ref("b"))).has_value());
}

TEST(HeldJobs, WaitsUntilEmptyOrTheTimeIsUp) {
  ManualClock clock;
  HeldJobs jobs;
  jobs.add(held(ref("a")));
  EXPECT_FALSE(jobs.wait_empty(clock, clock.steady_now()));
  jobs.remove(start_key(ref("a")));
  EXPECT_TRUE(jobs.wait_empty(clock, clock.steady_now()));
}

}  // namespace
}  // namespace sluice::worker
