#include "producer/live/live_answer.h"

#include <gtest/gtest.h>

namespace sluice::producer {
namespace {

LiveText said(int attempt, std::size_t at, std::string text) {
  return {.attempt = attempt, .text_at = at, .text = std::move(text)};
}
LiveText thought(int attempt, std::size_t at, std::string reasoning) {
  return {.attempt = attempt, .reasoning_at = at, .reasoning = std::move(reasoning)};
}

TEST(LiveText, IsReadAsItWasWritten) {
  const LiveText live{2, 5, 7, "tëxt", "why", 12};
  EXPECT_EQ(live_text_from(live_text_fields(live)), live);
  const LiveText begun{3, 0, 0, "", "", 0};
  EXPECT_EQ(live_text_from(live_text_fields(begun)), begun);
}

TEST(LiveText, WhatIsNoneIsRefused) {
  EXPECT_FALSE(live_text_from(std::vector<std::string>{"text", "a"}).has_value());
  EXPECT_FALSE(live_text_from(std::vector<std::string>{"attempt", "0"}).has_value());
  EXPECT_FALSE(live_text_from(std::vector<std::string>{"attempt", "1", "text_at", "-1"}).has_value());
  EXPECT_TRUE(live_text_from(std::vector<std::string>{"attempt", "1", "of_later", "x"}).has_value());
}

TEST(LiveAnswer, PiecesAreJoinedAndWhatIsKnownIsDropped) {
  LiveAnswer answer;
  EXPECT_FALSE(answer.take(said(1, 0, "one ")));
  EXPECT_FALSE(answer.take(said(1, 4, "two ")));
  EXPECT_FALSE(answer.take(said(2, 0, "one two three")));
  EXPECT_FALSE(answer.take(said(2, 4, "two")));
  EXPECT_EQ(answer.text(), "one two three");
  EXPECT_FALSE(answer.take(said(1, 13, " four")));
  EXPECT_EQ(answer.text(), "one two three") << "the second attempt has spoken";
}

TEST(LiveAnswer, APieceBehindAHoleWaitsForTheWhole) {
  LiveAnswer answer;
  EXPECT_FALSE(answer.take(said(1, 4, "two")));
  EXPECT_EQ(answer.text(), "");
  EXPECT_FALSE(answer.complete("one two", ""));
  EXPECT_EQ(answer.text(), "one two");
}

TEST(LiveAnswer, AnEarlierStartThatIsStillAtItIsNotListenedTo) {
  LiveAnswer answer;
  answer.take(said(2, 0, "new"));
  EXPECT_FALSE(answer.take(said(1, 0, "old text")));
  EXPECT_EQ(answer.text(), "new");
}

TEST(LiveAnswer, SomethingElseHoldsUpToWhereTheTwoAgree) {
  LiveAnswer answer;
  answer.take(said(1, 0, "the red cat"));
  EXPECT_EQ(answer.take(said(2, 0, "the blue")), (TextPlace{4, 0}));
  EXPECT_EQ(answer.text(), "the blue");
  EXPECT_EQ(answer.complete("the blue", "thoughts"), std::nullopt);
  EXPECT_EQ(answer.complete("the", "thoughts"), (TextPlace{3, 8}));
}

TEST(LiveAnswer, OtherThoughtsTakeTheTextWithThem) {
  LiveAnswer answer;
  answer.take(thought(1, 0, "a plan"));
  answer.take(said(1, 0, "so"));
  EXPECT_EQ(answer.take(thought(2, 0, "a doubt")), (TextPlace{0, 2}));
  EXPECT_EQ(answer.reasoning(), "a doubt");
  EXPECT_EQ(answer.text(), "");
}

}  // namespace
}  // namespace sluice::producer
