#include <gtest/gtest.h>

#include <sstream>

#include "operator/output/console.h"
#include "operator/output/table.h"
#include "operator/output/text.h"

namespace sluice::operate {
namespace {

TEST(TextWidth, CountsColumns) {
  EXPECT_EQ(text_width("abc"), 3);
  EXPECT_EQ(text_width("汉字"), 4);
  EXPECT_EQ(text_width("e\xcc\x81"), 1);  // e and a combining accent
  EXPECT_EQ(cut_text("汉字汉字", 5), "汉字…");
  EXPECT_EQ(cut_text("abcdef", 4), "abc…");
  EXPECT_EQ(cut_text("abcd", 4), "abcd");
}

TEST(Numbers, AreEasyToRead) {
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(1000), "1,000");
  EXPECT_EQ(count_text(1234567), "1,234,567");
  EXPECT_EQ(count_text(-123456), "-123,456");
  EXPECT_EQ(count_text(-1000), "-1,000");
  EXPECT_EQ(counted(1, "job", "jobs"), "1 job");
  EXPECT_EQ(counted(2000, "job", "jobs"), "2,000 jobs");
  EXPECT_EQ(duration_text(-5), "0s");
  EXPECT_EQ(duration_text(59), "59s");
  EXPECT_EQ(duration_text(60), "1m");
  EXPECT_EQ(duration_text(250), "4m 10s");
  EXPECT_EQ(duration_text(3 * 3600 + 20 * 60 + 59), "3h 20m");
  EXPECT_EQ(duration_text(86400 * 5 + 3600 * 4), "5d 4h");
  EXPECT_EQ(time_text(1795332001), "2026-11-22 07:20:01Z");
}

TEST(ParseDuration, TakesUnitsAndRefusesTheRest) {
  EXPECT_EQ(parse_duration("90"), 90);
  EXPECT_EQ(parse_duration("90s"), 90);
  EXPECT_EQ(parse_duration("15m"), 900);
  EXPECT_EQ(parse_duration("2h"), 7200);
  EXPECT_EQ(parse_duration("3d"), 259200);
  for (const char* bad :
       {"", "s", "-1s", "1.5h", "1w", "h1", " 1h", "1h ", "99999999999999999999s", "9223372036854775807d"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
}

TEST(ParseTime, TakesWhatPeopleWrite) {
  constexpr std::int64_t kNow = 1795332001;
  EXPECT_EQ(parse_time("2h", kNow), kNow - 7200);
  EXPECT_EQ(parse_time("@1700000000", kNow), 1700000000);
  EXPECT_EQ(parse_time("2026-11-22", kNow), 1795305600);
  EXPECT_EQ(parse_time("2026-11-22T07:20", kNow), 1795332000);
  EXPECT_EQ(parse_time("2026-11-22 07:20:01Z", kNow), kNow);
  for (const char* bad : {"", "yesterday", "12", "2026-13-01", "2026-02-30", "2026-11-22T25:00",
                          "2026-11-22T07", "2026/11/22", "@", "@-1", "@x", "20261122"}) {
    EXPECT_FALSE(parse_time(bad, kNow)) << bad;
  }
}

class Output : public ::testing::Test {
 protected:
  std::istringstream in_;
  std::ostringstream out_, err_;
  Console console_{in_, out_, err_};
};

TEST_F(Output, TablesAlignAndEndWithoutSpaces) {
  Table table({{"NAME"}, {"COUNT", Align::kRight}, {"NOTE", Align::kLeft, true}});
  table.add({"汉字", "5", ""});
  table.add({"a", "1,000", "a note"});
  table.print(console_);
  EXPECT_EQ(out_.str(),
            "NAME  COUNT  NOTE\n"
            "汉字      5\n"
            "a     1,000  a note\n");
}

TEST_F(Output, TheElasticColumnGivesWayOnATerminal) {
  console_.columns = 24;
  Table table({{"NAME"}, {"NOTE", Align::kLeft, true}});
  table.add({"name", "a note that is much too long"});
  table.print(console_);
  EXPECT_EQ(out_.str(), "NAME  NOTE\nname  a note that is mu…\n");
}

TEST_F(Output, HostileCellsStayInTheirColumn) {
  Table table({{"NAME"}, {"NOTE"}});
  table.add({"\x1b[2J\n", "x"});
  table.print(console_);
  EXPECT_EQ(out_.str(), "NAME       NOTE\n\\x1b[2J\\n  x\n");
}

TEST_F(Output, ColourOnlyWhereThereIsColour) {
  EXPECT_EQ(console_.styled("dead", Style::kBad), "dead");
  console_.colour = true;
  EXPECT_EQ(console_.styled("dead", Style::kBad), "\033[31mdead\033[0m");
  EXPECT_EQ(console_.styled("dead", Style::kPlain), "dead");
}

TEST_F(Output, ProgressIsForTerminals) {
  {
    Progress progress(console_);
    progress.show("half");
  }
  EXPECT_EQ(err_.str(), "");
  console_.err_is_terminal = true;
  {
    Progress progress(console_);
    progress.show("half");
  }
  EXPECT_EQ(err_.str(), "\r\033[Khalf\r\033[K");
  EXPECT_EQ(progress_bar(0.5, 4), "[##--]");
  EXPECT_EQ(progress_bar(7, 4), "[####]");
}

TEST_F(Output, OnlyAYesIsAYes) {
  for (const auto& [answer, agreed] : {std::pair{"y\n", true},
                                       {"yes\n", true},
                                       {"\n", false},
                                       {"", false},
                                       {"yo\n", false},
                                       {"n\n", false}}) {
    in_.clear();
    in_.str(answer);
    EXPECT_EQ(console_.ask("Sure?"), agreed) << answer;
  }
}

}  // namespace
}  // namespace sluice::operate
