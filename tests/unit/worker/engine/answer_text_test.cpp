#include "worker/engine/answer_text.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

// Keeps what was given out, joined.
struct Joined {
  explicit Joined(std::vector<std::string> stops) : answer(std::move(stops)) {}
  std::string push(std::string_view bytes) { return add(answer.push(bytes)); }
  std::string finish() { return add(answer.finish()); }

  AnswerText answer;
  std::string text;

 private:
  std::string add(const std::string& piece) {
    text += piece;
    return piece;
  }
};

TEST(AnswerText, AStopStringAcrossTokensEndsTheTextBeforeIt) {
  Joined joined({"END"});
  EXPECT_EQ(joined.push("one E"), "one ");
  EXPECT_EQ(joined.push("N"), "");
  EXPECT_EQ(joined.push("D two"), "");
  EXPECT_TRUE(joined.answer.stopped());
  EXPECT_EQ(joined.finish(), "");
  EXPECT_EQ(joined.text, "one ");
}

TEST(AnswerText, WhatOnlyLookedLikeAStopComesOut) {
  Joined joined({"END"});
  EXPECT_EQ(joined.push("EN"), "");
  EXPECT_EQ(joined.push("X"), "ENX");
  EXPECT_EQ(joined.push("E"), "");
  EXPECT_EQ(joined.finish(), "E");
  EXPECT_EQ(joined.text, "ENXE");
}

TEST(AnswerText, CharactersCutBetweenTokensStayWhole) {
  Joined joined({});
  EXPECT_EQ(joined.push("\xE4\xBD"), "");
  EXPECT_EQ(joined.push("\xA0\xE5"), "\xE4\xBD\xA0");
  EXPECT_EQ(joined.finish(), "\xEF\xBF\xBD");  // A character that never became whole.
  EXPECT_EQ(joined.text, "\xE4\xBD\xA0\xEF\xBF\xBD");
}

TEST(AnswerText, AStopOfCharactersThatAreCutIsFound) {
  Joined joined({"。"});
  EXPECT_EQ(joined.push("a\xE3\x80"), "a");
  EXPECT_EQ(joined.push("\x82z"), "");
  EXPECT_TRUE(joined.answer.stopped());
  EXPECT_EQ(joined.text, "a");
}

}  // namespace
}  // namespace sluice
