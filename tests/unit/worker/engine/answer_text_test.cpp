#include "worker/engine/answer_text.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(AnswerText, AStopStringAcrossTokensEndsTheTextBeforeIt) {
  AnswerText text({"END"});
  EXPECT_EQ(text.push("one E"), "one ");
  EXPECT_EQ(text.push("N"), "");
  EXPECT_EQ(text.push("D two"), "");
  EXPECT_TRUE(text.stopped());
  EXPECT_EQ(text.finish(), "");
  EXPECT_EQ(text.text(), "one ");
}

TEST(AnswerText, WhatOnlyLookedLikeAStopComesOut) {
  AnswerText text({"END"});
  EXPECT_EQ(text.push("EN"), "");
  EXPECT_EQ(text.push("X"), "ENX");
  EXPECT_EQ(text.push("E"), "");
  EXPECT_EQ(text.finish(), "E");
  EXPECT_EQ(text.text(), "ENXE");
}

TEST(AnswerText, CharactersCutBetweenTokensStayWhole) {
  AnswerText text({});
  EXPECT_EQ(text.push("\xE4\xBD"), "");
  EXPECT_EQ(text.push("\xA0\xE5"), "\xE4\xBD\xA0");
  EXPECT_EQ(text.finish(), "\xEF\xBF\xBD");  // A character that never became whole.
  EXPECT_EQ(text.text(), "\xE4\xBD\xA0\xEF\xBF\xBD");
}

TEST(AnswerText, AStopOfCharactersThatAreCutIsFound) {
  AnswerText text({"。"});
  EXPECT_EQ(text.push("a\xE3\x80"), "a");
  EXPECT_EQ(text.push("\x82z"), "");
  EXPECT_TRUE(text.stopped());
  EXPECT_EQ(text.text(), "a");
}

}  // namespace
}  // namespace sluice
