#include "worker/engine/reasoning.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using Begins = ReasoningSplitter::Begins;

struct Parts {
  std::string reasoning, content;
  bool operator==(const Parts&) const = default;
};

// In pieces of `n` bytes.
Parts split(Begins begins, const std::string& text, std::size_t n) {
  ReasoningSplitter splitter(begins);
  Parts parts;
  for (std::size_t at = 0; at < text.size(); at += n) {
    const auto pieces = splitter.push(std::string_view(text).substr(at, n));
    parts.reasoning += pieces.reasoning;
    parts.content += pieces.content;
  }
  const auto rest = splitter.finish();
  return {parts.reasoning + rest.reasoning, parts.content + rest.content};
}

void expect(Begins begins, const std::string& text, const Parts& parts) {
  for (const std::size_t n : {1, 2, 3, 5, 7, 1000})
    EXPECT_EQ(split(begins, text, n), parts) << text << " by " << n;
}

TEST(Reasoning, ThoughtsComeFirstAndSpaceAroundThemIsNobodys) {
  expect(Begins::kEither, "<think>\nLet me see.\n\n2 + 2.\n</think>\n\nIt is 4.\n",
         {"Let me see.\n\n2 + 2.", "It is 4.\n"});
  expect(Begins::kEither, "\n<think>a</think>b", {"a", "b"});
}

TEST(Reasoning, ThePromptMayHaveOpenedThem) {
  expect(Begins::kThinking, "Let me see.\n</think>\n\nIt is 4.", {"Let me see.", "It is 4."});
  expect(Begins::kThinking, "\n</think>\n\nIt is 4.", {"", "It is 4."});
}

TEST(Reasoning, AnAnswerWithoutThemStaysAsItIs) {
  expect(Begins::kEither, "\n It is <think>4</think>.\n", {"", "\n It is <think>4</think>.\n"});
  expect(Begins::kEither, "<thin ice", {"", "<thin ice"});
  expect(Begins::kEither, "  <thi", {"", "  <thi"});
  expect(Begins::kSaying, "<think>a</think>b", {"", "<think>a</think>b"});
}

TEST(Reasoning, CutShortItIsAllThought) {
  expect(Begins::kThinking, "Let me see. </thi", {"Let me see. </thi", ""});
  expect(Begins::kEither, "<think>\n", {"", ""});
  expect(Begins::kThinking, "a\n\n", {"a", ""});
}

TEST(Reasoning, WhatOnlyLooksLikeTheEndIsThought) {
  expect(Begins::kThinking, "a </thinking> b </th</think>c", {"a </thinking> b </th", "c"});
  expect(Begins::kThinking, "a</think>b</think>c", {"a", "b</think>c"});
}

TEST(Reasoning, SaysWhetherItThinks) {
  ReasoningSplitter splitter(Begins::kEither);
  EXPECT_FALSE(splitter.thinking());
  splitter.push("<think>");
  EXPECT_TRUE(splitter.thinking());
  EXPECT_EQ(splitter.push("hm ").reasoning, "hm");
  EXPECT_EQ(splitter.push("so").reasoning, " so");
  splitter.push("</think>");
  EXPECT_FALSE(splitter.thinking());
}

}  // namespace
}  // namespace sluice
