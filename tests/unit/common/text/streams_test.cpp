// Text on its way out: whole characters, stop strings, marks of origin.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/rng.h"
#include "common/text/marked_text.h"
#include "common/text/stop_matcher.h"
#include "common/text/unicode.h"
#include "common/text/utf8_stream.h"

namespace sluice {
namespace {

std::string all_at_once(std::string_view bytes) {
  Utf8Stream stream;
  std::string text = stream.push(bytes);
  return text + stream.finish();
}

std::string byte_by_byte(std::string_view bytes) {
  Utf8Stream stream;
  std::string text;
  for (const char c : bytes) {
    text += stream.push(std::string_view(&c, 1));
    EXPECT_TRUE(utf8_valid(text));
  }
  return text + stream.finish();
}

TEST(Utf8Stream, HoldsBackWhatIsNotComplete) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("a\xF0\x9F"), "a");
  EXPECT_TRUE(stream.holding());
  EXPECT_EQ(stream.push("\x98"), "");
  EXPECT_EQ(stream.push("\x80z"), "😀z");
  EXPECT_FALSE(stream.holding());
  EXPECT_EQ(stream.finish(), "");
}

TEST(Utf8Stream, ReplacesEachMaximalPartOfWhatIsInvalid) {
  const std::string r = "\xEF\xBF\xBD";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"abc", "abc"},
      {"\xFF", r},
      {"\x80\x80", r + r},
      {"\xC0\xAF", r + r},                  // Overlong.
      {"\xE0\x80\x80", r + r + r},          // Overlong.
      {"\xED\xA0\x80", r + r + r},          // A surrogate.
      {"\xF4\x90\x80\x80", r + r + r + r},  // Beyond the last code point.
      {"\xF0\x9F\x98x", r + "x"},           // Cut short by something else …
      {"\xE4\xBD", r},                      // … or by the end.
      {"\xE4\xBD\xE4\xBD\xA0", r + "你"},
      {"\xF5\x80", r + r},
  };
  for (const auto& [bytes, expected] : cases) {
    EXPECT_EQ(all_at_once(bytes), expected) << testing::PrintToString(bytes);
    EXPECT_EQ(byte_by_byte(bytes), expected) << testing::PrintToString(bytes);
  }
}

TEST(Utf8Stream, ValidTextPassesHoweverItIsCut) {
  const std::string text = "a é 你好 😀 \xF4\x8F\xBF\xBF z";
  EXPECT_EQ(all_at_once(text), text);
  EXPECT_EQ(byte_by_byte(text), text);
  SeededRng rng(1);
  for (int round = 0; round < 500; ++round) {
    std::string bytes = text;
    for (int i = 0; i < 3; ++i) bytes[rng.next() % bytes.size()] = static_cast<char>(rng.next());
    EXPECT_EQ(all_at_once(bytes), byte_by_byte(bytes));
    EXPECT_TRUE(utf8_valid(all_at_once(bytes)));
  }
}

struct Stopped {
  std::string text;
  std::string stop;
  bool operator==(const Stopped&) const = default;
};
Stopped run(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopMatcher matcher(stops);
  std::string text;
  for (const std::string& piece : pieces) text += matcher.push(piece);
  text += matcher.finish();
  return {text, matcher.stop() == nullptr ? "" : *matcher.stop()};
}
void PrintTo(const Stopped& stopped, std::ostream* out) {
  *out << stopped.text << " / " << stopped.stop;
}

TEST(StopMatcher, FindsAStopAcrossPieces) {
  EXPECT_EQ(run({"END"}, {"ab", "cE", "N", "Dxyz", "more"}), (Stopped{"abc", "END"}));
  EXPECT_EQ(run({"END"}, {"abcE", "NX", "EN"}), (Stopped{"abcENXEN", ""}));
  EXPECT_EQ(run({}, {"a", "b"}), (Stopped{"ab", ""}));
  EXPECT_EQ(run({""}, {"a"}), (Stopped{"a", ""}));
  EXPECT_EQ(run({"aab"}, {"aa", "aab"}), (Stopped{"aa", "aab"}));
  EXPECT_EQ(run({"abab"}, {"abac", "ababab"}), (Stopped{"abac", "abab"}));
  EXPECT_EQ(run({"。"}, {"你好。", "x"}), (Stopped{"你好", "。"}));
}

TEST(StopMatcher, OfSeveralTheOneCompleteFirstWins) {
  EXPECT_EQ(run({"xyz", "b"}, {"abxyz"}), (Stopped{"a", "b"}));
  EXPECT_EQ(run({"abcd", "bc"}, {"xabcd"}), (Stopped{"xa", "bc"}));
  EXPECT_EQ(run({"c", "abc"}, {"xabc"}), (Stopped{"x", "abc"}));  // Complete together: the longest.
}

TEST(StopMatcher, GivesOutWhatIsCertainAtOnce) {
  StopMatcher matcher({"\n\n", "User:"});
  EXPECT_EQ(matcher.push("line\n"), "line");
  EXPECT_EQ(matcher.push("Us"), "\n");
  EXPECT_EQ(matcher.push("ual"), "Usual");
  EXPECT_EQ(matcher.push("U"), "");
  EXPECT_FALSE(matcher.stopped());
  EXPECT_EQ(matcher.push("ser: hi"), "");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.push("x"), "");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcher, AgreesWithASearchOverTheWholeText) {
  SeededRng rng(11);
  for (int round = 0; round < 2000; ++round) {
    const auto random_text = [&](std::size_t max) {
      std::string text(1 + rng.next() % max, 'a');
      for (char& c : text) c = rng.next() % 2 == 0 ? 'a' : 'b';
      return text;
    };
    const std::vector<std::string> stops = {random_text(6), random_text(6)};
    const std::string text = random_text(40);
    std::size_t end = std::string::npos;
    std::size_t start = text.size();
    for (const std::string& stop : stops) {
      const std::size_t at = text.find(stop);
      if (at == std::string::npos) continue;
      const std::size_t stop_end = at + stop.size();
      if (stop_end < end || (stop_end == end && at < start)) {
        end = stop_end;
        start = at;
      }
    }
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t bytes = 1 + rng.next() % 5;
      pieces.push_back(text.substr(at, bytes));
      at += bytes;
    }
    EXPECT_EQ(run(stops, pieces).text, text.substr(0, start)) << text << " " << stops[0] << " " << stops[1];
  }
}

TEST(MarkedText, KeepsOriginsThroughCutsAndJoins) {
  MarkedText text("abc", true);
  text.append("DEF", false);
  text.append("", true);
  text.append("ghi", true);
  EXPECT_EQ(text.runs().size(), 3U);
  EXPECT_TRUE(text.trusted(0, 3));
  EXPECT_FALSE(text.trusted(2, 4));
  EXPECT_FALSE(text.trusted(3, 6));
  EXPECT_TRUE(text.trusted(6, 9));
  EXPECT_TRUE(text.trusted(4, 4));
  EXPECT_TRUE(text.any_untrusted());
  const MarkedText part = text.substr(2, 5);
  EXPECT_EQ(part.text(), "cDEFg");
  EXPECT_TRUE(part.trusted(0, 1));
  EXPECT_FALSE(part.trusted(1, 2));
  EXPECT_TRUE(part.trusted(4, 5));
  EXPECT_FALSE(text.substr(6, 100).any_untrusted());
  EXPECT_TRUE(text.substr(9, 5).empty());
  MarkedText joined = text.substr(0, 4);
  joined.append(text.substr(5, 1));
  EXPECT_EQ(joined.text(), "abcDF");
  EXPECT_EQ(joined.runs().size(), 2U);
}

TEST(SafeText, SpellsOutWhateverCouldChangeTheTerminal) {
  const std::pair<std::string, std::string> cases[] = {
      {"plain", "plain"},
      {"\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"},
      {"bell\a back\b nul" + std::string(1, '\0'), "bell\\x07 back\\x08 nul\\x00"},
      {"two\nlines\tand\r", "two\\nlines\\tand\\r"},
      {"del\x7f", "del\\x7f"},
      {"csi\xc2\x9b"
       "31m",
       "csi\\u{9b}31m"},                    // A C1 control as UTF-8.
      {"bare \x9b csi", "bare \\x9b csi"},  // And as a byte of its own.
      {"cut \xe2\x82", "cut \\xe2\\x82"},   // An unfinished character.
      {"abc\xe2\x80\xae"
       "def",
       "abc\\u{202e}def"},  // Right to left from here.
      {"zero\xe2\x80\x8bwidth", "zero\\u{200b}width"},
      {"\xe2\x80\xa8", "\\u{2028}"},
      {"Größe 汉字 😀", "Größe 汉字 😀"},
      {"\xed\xa0\x80", "\\xed\\xa0\\x80"},  // A surrogate is no UTF-8.
  };
  for (const auto& [given, wanted] : cases) EXPECT_EQ(safe_text(given), wanted);
}

TEST(SafeText, NoByteBelowSpaceSurvivesAnywhere) {
  for (int byte = 0; byte < 256; ++byte) {
    for (const std::string& text :
         {std::string(1, static_cast<char>(byte)), "a" + std::string(1, static_cast<char>(byte)) + "b"}) {
      for (const char c : safe_text(text)) {
        EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) << byte;
      }
    }
  }
}

TEST(Unicode, ClassesAndUtf8) {
  EXPECT_EQ(char_class('a'), kCharLetter);
  EXPECT_EQ(char_class(U'好'), kCharLetter);
  EXPECT_EQ(char_class(U'5'), kCharNumber);
  EXPECT_EQ(char_class(U'Ⅷ'), kCharNumber);
  EXPECT_EQ(char_class(U'!'), kCharPunctuation);
  EXPECT_EQ(char_class(U'+'), kCharSymbol);
  EXPECT_EQ(char_class(0x301), kCharMark);
  EXPECT_EQ(char_class(0x3000), kCharSpace);
  EXPECT_EQ(char_class(0x200B), 0);
  EXPECT_EQ(char_class(0x20000), kCharLetter);
  EXPECT_EQ(char_class(0x110000), 0);
  EXPECT_EQ(utf8_length("aé你😀\xFF"), 5U);
  EXPECT_TRUE(utf8_valid("é你😀"));
  EXPECT_FALSE(utf8_valid("\xED\xA0\x80"));
  std::string text;
  for (const char32_t code : {U'a', U'é', U'你', U'😀'}) utf8_append(text, code);
  EXPECT_EQ(text, "aé你😀");
}

}  // namespace
}  // namespace sluice
