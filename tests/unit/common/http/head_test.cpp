#include "common/http/head.h"

#include <gtest/gtest.h>

namespace sluice::http {
namespace {

ParsedHead parse(const std::string& header) {
  ParsedHead parsed;
  Refusal refusal;
  EXPECT_TRUE(parse_head(header, parsed, refusal)) << refusal.message;
  return parsed;
}

TEST(ParseHead, TakesARequestApart) {
  const ParsedHead parsed = parse(
      "POST /v1/jobs/a%2Fb?wait=30&x=a+b%26c&flag&&=v HTTP/1.1\r\nHost: t\r\nX-One: 1\r\nx-one: 2\r\n"
      "Content-Length: 12\r\n\r\n");
  EXPECT_EQ(parsed.head.method, Method::kPost);
  EXPECT_EQ(parsed.head.path, "/v1/jobs/a%2Fb");
  EXPECT_EQ(parsed.head.query_value("wait"), "30");
  EXPECT_EQ(parsed.head.query_value("x"), "a b&c");
  EXPECT_EQ(parsed.head.query_value("flag"), "");
  EXPECT_EQ(parsed.head.query_value("none"), std::nullopt);
  EXPECT_EQ(parsed.head.query.size(), 4u);
  EXPECT_EQ(parsed.head.headers.get("X-ONE"), "1");
  EXPECT_EQ(parsed.head.content_length, 12u);
  EXPECT_TRUE(parsed.head.has_body);
  EXPECT_TRUE(parsed.framing.keep_alive);
}

TEST(ParseHead, KnowsWhenTheConnectionMayStay) {
  EXPECT_TRUE(parse("GET / HTTP/1.1\r\nHost: t\r\n\r\n").framing.keep_alive);
  EXPECT_FALSE(parse("GET / HTTP/1.1\r\nHost: t\r\nConnection: x, CLOSE\r\n\r\n").framing.keep_alive);
  EXPECT_FALSE(
      parse("GET / HTTP/1.1\r\nHost: t\r\nConnection: x\r\nConnection: close\r\n\r\n").framing.keep_alive);
  EXPECT_FALSE(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").framing.keep_alive);
}

TEST(ParseHead, ALengthOfZeroIsNoBody) {
  const ParsedHead parsed = parse("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
  EXPECT_FALSE(parsed.head.has_body);
  EXPECT_EQ(parsed.head.content_length, 0u);
}

TEST(ParseHead, AbsoluteTargetsKeepTheirPathAndQuery) {
  EXPECT_EQ(parse("GET http://t HTTP/1.1\r\nHost: t\r\n\r\n").head.path, "/");
  const ParsedHead parsed = parse("GET HTTPS://[::1]:80?a=b HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(parsed.head.path, "/");
  EXPECT_EQ(parsed.head.query_value("a"), "b");
}

TEST(ParseHead, ExpectIsIgnoredInHttp10) {
  EXPECT_TRUE(parse("POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-Continue\r\n\r\n").framing.expects_continue);
  EXPECT_FALSE(parse("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").framing.expects_continue);
}

}  // namespace
}  // namespace sluice::http
