#include "producer/api/query.h"

#include <gtest/gtest.h>

namespace sluice::producer {
namespace {

using std::chrono::milliseconds;

http::RequestHead head(std::vector<std::pair<std::string, std::string>> query, std::string prefer = {}) {
  http::RequestHead head;
  head.query = std::move(query);
  if (!prefer.empty()) head.headers.add("prefer", std::move(prefer));
  return head;
}

TEST(WaitQuery, IsSecondsFromZeroToSixty) {
  EXPECT_EQ(read_wait(head({})).value(), milliseconds(0));
  EXPECT_EQ(read_wait(head({{"wait", "0"}})).value(), milliseconds(0));
  EXPECT_EQ(read_wait(head({{"wait", "60"}})).value(), milliseconds(60'000));
  EXPECT_EQ(read_wait(head({{"wait", "0.25"}})).value(), milliseconds(250));
  for (const char* bad : {"", "61", "60.001", "-1", "+1", "1e1", "x", "1s", ".5", "nan", "inf", "0x10", " 1",
                          "99999999999999999999999"}) {
    const auto wait = read_wait(head({{"wait", bad}}));
    ASSERT_FALSE(wait.has_value()) << bad;
    EXPECT_EQ(wait.error().param, "wait");
  }
  EXPECT_FALSE(read_wait(head({{"wait", "1"}, {"wait", "2"}})).has_value());
  EXPECT_EQ(read_wait(head({{"wiat", "1"}})).error().param, "wiat");
}

TEST(WaitQuery, PreferIsAWishNotAnOrder) {
  EXPECT_EQ(read_wait(head({}, "wait=10")).value(), milliseconds(10'000));
  EXPECT_EQ(read_wait(head({}, "respond-async, Wait = 5; x=y")).value(), milliseconds(5'000));
  EXPECT_EQ(read_wait(head({}, "wait=\"7\"")).value(), milliseconds(7'000));
  EXPECT_EQ(read_wait(head({}, "wait=600")).value(), milliseconds(60'000));
  EXPECT_EQ(read_wait(head({}, "wait=soon")).value(), milliseconds(0));
  EXPECT_EQ(read_wait(head({}, "return=minimal,,")).value(), milliseconds(0));
  EXPECT_EQ(read_wait(head({{"wait", "1"}}, "wait=9")).value(), milliseconds(1'000));
}

TEST(ListQuery, ReadsEveryFilter) {
  const std::string job = "job_018f4e1c-7a2b-7abc-8def-0123456789a5";
  const std::string batch = "batch_018f4e1c-7a2b-7abc-8def-0123456789a5";
  const auto filter = read_list_query(
      head({{"after", job}, {"limit", "100"}, {"status", "failed"}, {"model", "m 1"}, {"batch_id", batch}}));
  ASSERT_TRUE(filter.has_value()) << filter.error().message;
  EXPECT_EQ(filter->after.value, job);
  EXPECT_EQ(filter->limit, 100);
  EXPECT_EQ(filter->state, JobState::kFailed);
  EXPECT_EQ(filter->model, "m 1");
  EXPECT_EQ(filter->batch_id.value, batch);
  EXPECT_EQ(read_list_query(head({}))->limit, 20);
  EXPECT_FALSE(read_list_query(head({}))->state.has_value());
}

TEST(ListQuery, BadOnesAreNamed) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"limit", "0"},     {"limit", "101"},  {"limit", "ten"},          {"limit", ""},  {"limit", "5 "},
      {"after", "7"},     {"after", "job_"}, {"status", "done"},        {"status", ""}, {"model", ""},
      {"batch_id", "b1"}, {"order", "asc"},  {"limit", "9999999999999"}};
  for (const auto& one : bad) {
    const auto filter = read_list_query(head({one}));
    ASSERT_FALSE(filter.has_value()) << one.first << "=" << one.second;
    EXPECT_EQ(filter.error().param, one.first);
  }
  EXPECT_EQ(read_list_query(head({{"limit", "5"}, {"limit", "6"}})).error().param, "limit");
  // The id of a batch is no id of a job.
  EXPECT_FALSE(read_list_query(head({{"after", "batch_018f4e1c-7a2b-7abc-8def-0123456789a5"}})).has_value());
}

}  // namespace
}  // namespace sluice::producer
