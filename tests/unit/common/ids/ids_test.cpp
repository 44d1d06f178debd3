#include "common/ids/ids.h"

#include <gtest/gtest.h>

#include <set>

namespace sluice {
namespace {

class Ids : public ::testing::Test {
 protected:
  ManualClock clock_;
  SeededRng rng_{42};
  IdMaker maker_{clock_, rng_};
};

TEST_F(Ids, HoldThePrefixTheTimeAndTheShard) {
  clock_.set_wall(from_unix_micros(0x0123456789abLL * 1000));
  const JobId id = maker_.make<JobId>(11);
  EXPECT_TRUE(id.value.starts_with("job_01234567-89ab-7")) << id.value;
  EXPECT_EQ(shard_of_id(id.value), 11);
  EXPECT_TRUE(is_well_formed_id(id.value, "job_"));
  EXPECT_FALSE(is_well_formed_id(id.value, "batch_"));
}

TEST_F(Ids, SortByCreationWithinAMillisecondAndWhenTheClockJumpsBack) {
  std::string last;
  std::set<std::string> seen;
  for (int i = 0; i < 20'000; ++i) {
    if (i % 5000 == 4999) clock_.set_wall(clock_.wall_now() - std::chrono::hours(1));
    if (i % 1000 == 999) clock_.advance(std::chrono::milliseconds(1));
    const std::string id = maker_.make<JobId>(i % kShards).value;
    // The last digits are shard and chance: order counts in the time and the counter.
    EXPECT_GT(id.substr(0, 22), last.substr(0, 22));
    EXPECT_TRUE(seen.insert(id).second);
    last = id;
  }
}

TEST_F(Ids, MalformedIdsHaveNoShard) {
  EXPECT_EQ(shard_of_id(""), std::nullopt);
  EXPECT_EQ(shard_of_id("job_"), std::nullopt);
  EXPECT_EQ(shard_of_id("job_0123456-89ab-7cde-8f01-23456789abcd"), std::nullopt);
  EXPECT_EQ(shard_of_id("job_01234567-89ab-4cde-8f01-23456789abcd"), std::nullopt);  // Version 4.
  EXPECT_EQ(shard_of_id("job_01234567-89AB-7CDE-8F01-23456789ABCD"), std::nullopt);
  EXPECT_EQ(shard_of_id("job_01234567-89ab-7cde-8f01-23456789abcd"), 13);
}

TEST(Shards, ATenantsShardNeverChanges) {
  // These values are part of every stored id: a change here loses jobs.
  EXPECT_EQ(shard_of_tenant(TenantId{"default"}), shard_of_tenant(TenantId{"default"}));
  std::set<int> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(shard_of_tenant(TenantId{"tenant-" + std::to_string(i)}));
  EXPECT_EQ(seen.size(), 16U);
}

}  // namespace
}  // namespace sluice
