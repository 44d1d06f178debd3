#include "common/text/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

using Pieces = std::vector<std::string>;

Pieces split(std::string_view name, std::string_view text) {
  const auto pre = PreTokenizer::by_name(name);
  EXPECT_TRUE(pre) << pre.error().message;
  std::vector<std::size_t> ends;
  pre->split(text, ends);
  Pieces pieces;
  std::size_t begin = 0;
  for (const std::size_t end : ends) {
    pieces.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  EXPECT_EQ(begin, text.size());
  return pieces;
}

// What the published expressions give, run by an independent regular expression engine.
TEST(PreTokenizer, Qwen2) {
  EXPECT_EQ(split("qwen2", "Hello world"), (Pieces{"Hello", " world"}));
  EXPECT_EQ(split("qwen2", "I'LL they're 'tis x's"),
            (Pieces{"I", "'LL", " they", "'re", " '", "tis", " x", "'s"}));
  EXPECT_EQ(split("qwen2", "a 1234"), (Pieces{"a", " ", "1", "2", "3", "4"}));
  EXPECT_EQ(split("qwen2", "a  b"), (Pieces{"a", " ", " b"}));
  EXPECT_EQ(split("qwen2", "a \n\n  b"), (Pieces{"a", " \n\n", " ", " b"}));
  EXPECT_EQ(split("qwen2", "a, b!\n\nc  "), (Pieces{"a", ",", " b", "!\n\n", "c", "  "}));
  EXPECT_EQ(split("qwen2", "(x) \tdone"), (Pieces{"(x", ")", " ", "\tdone"}));
  EXPECT_EQ(split("qwen2", "你好，世界"), (Pieces{"你好", "，世界"}));
  EXPECT_EQ(split("qwen2", "é\xCC\x81x"), (Pieces{"é", "\xCC\x81x"}));
  EXPECT_EQ(split("qwen2", "\r\nx"), (Pieces{"\r\n", "x"}));
  EXPECT_EQ(split("qwen2", "Ⅷ²1"), (Pieces{"Ⅷ", "²", "1"}));
  EXPECT_EQ(split("qwen2", ""), Pieces{});
  EXPECT_EQ(split("deepseek-r1-qwen", "a1"), (Pieces{"a", "1"}));
}

TEST(PreTokenizer, Llama3GroupsDigitsByThree) {
  EXPECT_EQ(split("llama-bpe", "a 1234567"), (Pieces{"a", " ", "123", "456", "7"}));
  EXPECT_EQ(split("llama3", "x1"), (Pieces{"x", "1"}));
}

TEST(PreTokenizer, DeepSeek) {
  EXPECT_EQ(split("deepseek-llm", "Hello world\n\nx"), (Pieces{"Hello", " world", "\n", "\n", "x"}));
  EXPECT_EQ(split("deepseek-llm", "a  b 12"), (Pieces{"a", " ", " b", " ", "1", "2"}));
  EXPECT_EQ(split("deepseek-llm", "你好, é!  "), (Pieces{"你好", ",", " é", "!", "  "}));
  EXPECT_EQ(split("deepseek-coder", "if (x) {\n\ty+=12;"),
            (Pieces{"if", " (", "x", ")", " {", "\n", "\ty", "+=", "1", "2", ";"}));
  EXPECT_EQ(split("deepseek-v3", "x=12345 .foo.bar(a) 你好abc"),
            (Pieces{"x", "=", "123", "45", " .", "foo", ".bar", "(a", ")", " ", "你好", "abc"}));
}

TEST(PreTokenizer, Gpt2AndDefault) {
  EXPECT_EQ(split("gpt-2", "I'm 12 ok!!  x\n"), (Pieces{"I", "'m", " 12", " ok", "!!", " ", " x", "\n"}));
  EXPECT_EQ(split("default", "a 12345, b"), (Pieces{"a", " ", "123", "45", ",", " b"}));
}

TEST(PreTokenizer, AnInvalidByteIsASymbol) {
  EXPECT_EQ(split("qwen2", "a\xFF\xFEz 1"), (Pieces{"a", "\xFF\xFE", "z", " ", "1"}));
  EXPECT_EQ(split("qwen2", "a\xE4\xBD"), (Pieces{"a", "\xE4\xBD"}));
}

TEST(PreTokenizer, UnknownNamesAreRefusedWithThoseThatAreKnown) {
  const auto unknown = PreTokenizer::by_name("mpt");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kInvalid);
  EXPECT_THAT(unknown.error().message,
              testing::AllOf(testing::HasSubstr("'mpt'"), testing::HasSubstr("qwen2")));
}

}  // namespace
}  // namespace sluice
