#include "common/http/body_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::http {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ParseJson, TakesAnyValue) {
  EXPECT_EQ(parse_json(R"({"a": [1, 2.5, "x", null, true], "a": 2})").value()["a"], 2);
  EXPECT_EQ(parse_json(" 7 ").value(), 7);
  EXPECT_EQ(parse_json(R"("\u20ac\ud83d\ude00")").value(), "\xe2\x82\xac\xf0\x9f\x98\x80");
}

TEST(ParseJson, SaysWhereAndWhatButQuotesNothing) {
  const auto result = parse_json("{\n  \"secret\": hunter2}");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kInvalid);
  EXPECT_THAT(result.error().message, HasSubstr("line 2, column 13"));
  EXPECT_THAT(result.error().message, Not(HasSubstr("hunter")));
  EXPECT_THAT(parse_json(R"({"a": 1,})").error().message, HasSubstr("expected string literal"));
  EXPECT_THAT(parse_json("[\"hunter2").error().message, Not(HasSubstr("hunter")));
  EXPECT_THAT(parse_json("").error().message, HasSubstr("unexpected end of input"));
}

TEST(ParseJson, RefusesWhatIsNotJson) {
  for (const char* bad : {"{", "[1,]", "{'a':1}", "01", "1 2", "nul", "NaN", "// x\n1", "\"\\x\"", "[1", "}",
                          "]", "\"\t\"", "1e999", "{\"a\" 1}", "\"\\ud800\"", "\"\\"}) {
    EXPECT_FALSE(parse_json(bad)) << bad;
  }
}

TEST(ParseJson, RefusesBrokenUtf8) {
  for (const char* bad :
       {"\"\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "\"\xc0\xaf\"", "\"\xf5\x80\x80\x80\"", "\xff"}) {
    EXPECT_FALSE(parse_json(bad));
  }
  EXPECT_FALSE(parse_json(std::string_view("\"a\0b\"", 5)));
}

TEST(ParseJson, DepthIsBounded) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parse_json(nested(64)));
  EXPECT_FALSE(parse_json(nested(65)));
  EXPECT_FALSE(parse_json(nested(1'000'000)));
  EXPECT_FALSE(parse_json(std::string(1'000'000, '[')));
  std::string objects;
  for (int i = 0; i < 65; ++i) objects += "{\"a\":";
  EXPECT_THAT(parse_json(objects).error().message, HasSubstr("deeper than 64"));
  // Brackets in texts are no depth.
  EXPECT_TRUE(parse_json("\"" + std::string(100, '[') + "\\\"" + std::string(100, '{') + "\""));
}

TEST(ParseJson, TheNumberOfValuesIsBounded) {
  EXPECT_TRUE(parse_json("[1,2,3]", 64, 4));
  EXPECT_FALSE(parse_json("[1,2,3,4]", 64, 4));
}

TEST(DumpJson, ReplacesBrokenText) {
  EXPECT_EQ(dump_json(nlohmann::json("a\xff")), "\"a\xef\xbf\xbd\"");
}

}  // namespace
}  // namespace sluice::http
