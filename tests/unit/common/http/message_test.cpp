#include "common/http/message.h"

#include <gtest/gtest.h>

namespace sluice::http {
namespace {

TEST(Headers, AreFoundWithoutRegardToCase) {
  Headers headers;
  headers.add("Content-Type", "a");
  headers.add("X", "1");
  headers.add("x", "2");
  EXPECT_EQ(headers.get("content-TYPE"), "a");
  EXPECT_EQ(headers.get("X"), "1");
  headers.set("x", "3");
  EXPECT_EQ(headers.size(), 2u);
  EXPECT_EQ(headers.get("X"), "3");
  headers.remove("X");
  EXPECT_FALSE(headers.contains("x"));
}

TEST(Trimmed, LosesSpacesAndTabsAtItsEndsOnly) {
  EXPECT_EQ(trimmed(" \ta \tb\t "), "a \tb");
  EXPECT_EQ(trimmed("\ra\n"), "\ra\n");
  EXPECT_EQ(trimmed(" \t "), "");
  EXPECT_EQ(trimmed(""), "");
}

TEST(Method, NamesAreCaseSensitive) {
  EXPECT_EQ(parse_method("POST"), Method::kPost);
  EXPECT_EQ(parse_method("post"), std::nullopt);
  for (const Method method : {Method::kGet, Method::kHead, Method::kPut, Method::kPatch, Method::kDelete}) {
    EXPECT_EQ(parse_method(method_name(method)), method);
  }
}

TEST(StatusReason, EveryStatusThatWeAnswerHasOne) {
  EXPECT_EQ(status_reason(404), "Not Found");
  EXPECT_EQ(status_reason(499), "Client Closed Request");
  EXPECT_EQ(status_reason(299), "Unknown");
}

TEST(PercentDecode, RefusesBrokenEscapesAndNul) {
  EXPECT_EQ(percent_decode("a%20b%2fc+d", false), "a b/c+d");
  EXPECT_EQ(percent_decode("a+b", true), "a b");
  EXPECT_EQ(percent_decode("%e2%82%ac", false), "\xe2\x82\xac");
  for (const char* bad : {"%", "%4", "%g0", "%0g", "%00", "a%"})
    EXPECT_EQ(percent_decode(bad, false), std::nullopt) << bad;
}

TEST(RequestHead, ThePrincipalIsWhatTheAuthenticatorPutThere) {
  RequestHead head;
  EXPECT_EQ(head.principal_as<int>(), nullptr);
  head.principal = 7;
  ASSERT_NE(head.principal_as<int>(), nullptr);
  EXPECT_EQ(*head.principal_as<int>(), 7);
  EXPECT_EQ(head.principal_as<long>(), nullptr);
}

}  // namespace
}  // namespace sluice::http
