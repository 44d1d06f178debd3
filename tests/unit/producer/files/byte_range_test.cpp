#include "producer/files/byte_range.h"

#include <gtest/gtest.h>

namespace sluice::producer {
namespace {

const std::string kTag = "\"file-1\"";

RangeAnswer chosen(const std::string& range, std::uint64_t size, const std::string& if_range = "",
                   http::Method method = http::Method::kGet) {
  http::RequestHead head;
  head.method = method;
  head.headers.add("Range", range);
  if (!if_range.empty()) head.headers.add("If-Range", if_range);
  return choose_range(head, size, kTag);
}

TEST(ByteRangeTest, OneRangeIsCutAtTheEnd) {
  const struct {
    const char* range;
    std::uint64_t offset, length;
    const char* header;
  } cases[] = {
      {"bytes=0-0", 0, 1, "bytes 0-0/10"},    {"bytes=2-5", 2, 4, "bytes 2-5/10"},
      {"bytes=7-", 7, 3, "bytes 7-9/10"},     {"bytes=-4", 6, 4, "bytes 6-9/10"},
      {"bytes=-99", 0, 10, "bytes 0-9/10"},   {"bytes=9-99", 9, 1, "bytes 9-9/10"},
      {" BYTES= 1-2 ", 1, 2, "bytes 1-2/10"}, {"bytes=0-99999999999999999999", 0, 10, "bytes 0-9/10"}};
  for (const auto& one : cases) {
    const RangeAnswer answer = chosen(one.range, 10);
    EXPECT_EQ(answer.status, 206) << one.range;
    EXPECT_EQ(answer.range.offset, one.offset) << one.range;
    EXPECT_EQ(answer.range.length, one.length) << one.range;
    EXPECT_EQ(answer.header, one.header);
  }
}

TEST(ByteRangeTest, RangeBehindTheEndHasNothing) {
  for (const char* range : {"bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99999999999999999999-"}) {
    const RangeAnswer answer = chosen(range, 10);
    EXPECT_EQ(answer.status, 416) << range;
    EXPECT_EQ(answer.header, "bytes */10");
  }
  EXPECT_EQ(chosen("bytes=0-", 0).status, 416);
  EXPECT_EQ(chosen("bytes=-5", 0).status, 416);
}

TEST(ByteRangeTest, WhatIsNoSingleRangeIsNone) {
  for (const char* range : {"bytes=0-1,3-4", "bytes=5-2", "items=0-1", "bytes", "bytes=", "bytes=-",
                            "bytes=a-b", "bytes=1", "bytes=-1-2", "bytes=0x1-2", "bytes=+1-2"}) {
    const RangeAnswer answer = chosen(range, 10);
    EXPECT_EQ(answer.status, 200) << range;
    EXPECT_EQ(answer.range.length, 10U);
    EXPECT_EQ(answer.header, "");
  }
  EXPECT_EQ(chosen("bytes=0-1", 10, "", http::Method::kHead).status, 200);
}

TEST(ByteRangeTest, IfRangeHoldsForThisVersionOnly) {
  EXPECT_EQ(chosen("bytes=0-1", 10, kTag).status, 206);
  for (const char* other : {"\"file-2\"", "W/\"file-1\"", "Sat, 01 Jan 2028 00:00:00 GMT"}) {
    EXPECT_EQ(chosen("bytes=0-1", 10, other).status, 200) << other;
  }
}

TEST(ByteRangeTest, KnownVersionIsFoundInAList) {
  const auto has = [](const std::string& value) {
    http::Headers headers;
    headers.add("If-None-Match", value);
    return has_version(headers, kTag);
  };
  EXPECT_TRUE(has(kTag));
  EXPECT_TRUE(has("*"));
  EXPECT_TRUE(has("\"a\" , W/\"file-1\""));
  EXPECT_FALSE(has("\"a\", \"b\""));
  EXPECT_FALSE(has(""));
  EXPECT_FALSE(has_version(http::Headers(), kTag));
}

}  // namespace
}  // namespace sluice::producer
