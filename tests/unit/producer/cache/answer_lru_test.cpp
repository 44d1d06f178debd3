#include "producer/cache/answer_lru.h"

#include <gtest/gtest.h>

namespace sluice::producer {
namespace {

Answer answer(const std::string& text) {
  Answer made;
  made.job.value = "job_" + text.substr(0, 1);
  made.until_us = 7;
  made.result.text = text;
  return made;
}

TEST(AnswerLru, TheLastAskedForStay) {
  AnswerLru lru(100'000);
  const std::string large(20'000, 'x');
  for (const char* key : {"a", "b", "c", "d"}) lru.put(key, answer(key + large));
  EXPECT_TRUE(lru.find("a").has_value());  // Asked for again: now "b" is the one that goes.
  lru.put("e", answer(large));
  EXPECT_EQ(lru.find("a")->result.text, "a" + large);
  EXPECT_FALSE(lru.find("b").has_value());
  EXPECT_TRUE(lru.find("c").has_value());
  EXPECT_TRUE(lru.find("e").has_value());
  EXPECT_LE(lru.bytes(), 100'000U);
}

TEST(AnswerLru, OneKeyHasOneAnswer) {
  AnswerLru lru(100'000);
  lru.put("a", answer("first"));
  const std::size_t bytes = lru.bytes();
  lru.put("a", answer("other"));
  EXPECT_EQ(lru.find("a")->result.text, "other");
  EXPECT_EQ(lru.bytes(), bytes);
}

TEST(AnswerLru, ToAskWhetherItHasOneIsNoUseOfIt) {
  AnswerLru lru(100'000);
  const std::string large(20'000, 'x');
  for (const char* key : {"a", "b", "c", "d"}) lru.put(key, answer(key + large));
  EXPECT_TRUE(lru.has("a", 7));
  EXPECT_FALSE(lru.has("a", 8));  // Not one that lasts so long.
  EXPECT_FALSE(lru.has("e", 0));
  lru.put("e", answer(large));
  EXPECT_FALSE(lru.has("a", 0));
}

TEST(AnswerLru, WhatIsTooLargeIsNotTakenAndPushesNothingOut) {
  AnswerLru lru(10'000);
  lru.put("a", answer("small"));
  lru.put("b", answer(std::string(3'000, 'x')));
  EXPECT_TRUE(lru.find("a").has_value());
  EXPECT_FALSE(lru.find("b").has_value());
  lru.put("a", answer(std::string(3'000, 'x')));
  EXPECT_FALSE(lru.find("a").has_value());  // Not the old one either: it isn't the answer any more.
  EXPECT_EQ(lru.bytes(), 0U);
  AnswerLru none(0);
  none.put("a", answer("small"));
  EXPECT_FALSE(none.find("a").has_value());
}

}  // namespace
}  // namespace sluice::producer
