// SentencePiece vocabularies: tokenizer.ggml.model = "llama".
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <limits>
#include <map>

#include "common/base/rng.h"
#include "common/text/tokenizer.h"
#include "test_files.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_text::GgufBytes;
using testing_text::kBool;
using testing_text::kF32;
using testing_text::kI32;
using testing_text::TemporaryFolder;

struct Token {
  std::string text;
  float score;
  std::int32_t type = 1;
};

// <unk>, <s>, </s>, the bytes from 3 on, then `more`.
constexpr TokenId kFirst = 259;
TokenId byte_id(unsigned char byte) {
  return 3 + byte;
}

class Pieces {
 public:
  explicit Pieces(const std::vector<Token>& more) {
    tokens_ = {{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}};
    for (int byte = 0; byte < 256; ++byte) {
      char text[8];
      std::snprintf(text, sizeof text, "<0x%02X>", static_cast<unsigned>(byte));
      tokens_.push_back({text, 0, 6});
    }
    tokens_.insert(tokens_.end(), more.begin(), more.end());
  }

  GgufBytes file() const {
    std::vector<std::string> texts;
    std::vector<float> scores;
    std::vector<std::int32_t> types;
    for (const Token& token : tokens_) {
      texts.push_back(token.text);
      scores.push_back(token.score);
      types.push_back(token.type);
    }
    GgufBytes bytes;
    bytes.string("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", texts)
        .numbers<float>("tokenizer.ggml.scores", kF32, scores)
        .numbers<std::int32_t>("tokenizer.ggml.token_type", kI32, types);
    return bytes;
  }

  const std::vector<Token>& tokens() const { return tokens_; }

 private:
  std::vector<Token> tokens_;
};

Result<Tokenizer> load(const GgufBytes& bytes) {
  const TemporaryFolder folder;
  SLUICE_ASSIGN(const GgufFile file, GgufFile::open(folder.write("v.gguf", bytes.str())));
  return Tokenizer::load(file);
}

Tokenizer loaded(const GgufBytes& bytes) {
  auto tokenizer = load(bytes);
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return std::move(*tokenizer);
}

std::vector<Token> letters() {
  return {{"▁", -90}, {"a", -91}, {"b", -92}, {"c", -93}};
}
constexpr TokenId kSpace = kFirst, kA = kFirst + 1, kB = kFirst + 2, kC = kFirst + 3;

std::vector<Token> with_letters(const std::vector<Token>& more) {
  std::vector<Token> all = letters();
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST(PiecesTokenizer, TheHighestScoreIsJoinedFirst) {
  const Tokenizer tokenizer =
      loaded(Pieces(with_letters({{"ab", -2}, {"bc", -1}, {"▁a", -3}, {"▁ab", -4}})).file());
  EXPECT_THAT(tokenizer.encode("abc"), ElementsAre(kFirst + 6, kFirst + 5));  // ▁a bc
  EXPECT_THAT(tokenizer.encode("ab"), ElementsAre(kFirst + 7));               // ▁ab
  EXPECT_THAT(tokenizer.encode("cab"), ElementsAre(kSpace, kC, kFirst + 4));  // ▁ c ab
}

TEST(PiecesTokenizer, OfEqualScoresTheLeftmost) {
  const Tokenizer tokenizer = loaded(Pieces(with_letters({{"aa", -1}})).file());
  EXPECT_THAT(tokenizer.encode("aaa"), ElementsAre(kSpace, kFirst + 4, kA));
}

TEST(PiecesTokenizer, ASpaceGoesBeforeTextUnlessTheFileSaysOtherwise) {
  const Pieces pieces(letters());
  EXPECT_THAT(loaded(pieces.file()).encode("a"), ElementsAre(kSpace, kA));
  EXPECT_THAT(loaded(pieces.file()).encode(" a"), ElementsAre(kSpace, kSpace, kA));
  EXPECT_THAT(loaded(pieces.file()).encode(""), ElementsAre());
  GgufBytes bare = pieces.file();
  bare.scalar<std::uint8_t>("tokenizer.ggml.add_space_prefix", kBool, 0);
  EXPECT_THAT(loaded(bare).encode("a"), ElementsAre(kA));
  EXPECT_EQ(loaded(bare).decode(loaded(bare).encode(" a ")), " a ");
}

TEST(PiecesTokenizer, CharactersWithoutAPieceBecomeBytes) {
  const Tokenizer tokenizer = loaded(Pieces(with_letters({{"é", -5}})).file());
  EXPECT_THAT(tokenizer.encode("aéü"), ElementsAre(kSpace, kA, kFirst + 4, byte_id(0xC3), byte_id(0xBC)));
  EXPECT_THAT(tokenizer.encode("\xC3"), ElementsAre(kSpace, byte_id(0xC3)));
  EXPECT_THAT(tokenizer.encode(std::string(1, '\0')), ElementsAre(kSpace, byte_id(0)));
  EXPECT_EQ(tokenizer.token_bytes(byte_id(0xBC)), "\xBC");
}

TEST(PiecesTokenizer, TheUnknownTokenStandsForBytesWithoutAToken) {
  GgufBytes file;
  file.string("tokenizer.ggml.model", "llama")
      .strings("tokenizer.ggml.tokens", {"a", "<unk>", "▁"})
      .numbers<float>("tokenizer.ggml.scores", kF32, {0, 0, 0})
      .numbers<std::int32_t>("tokenizer.ggml.token_type", kI32, {1, 2, 1})
      .scalar<std::uint32_t>("tokenizer.ggml.unknown_token_id", testing_text::kU32, 1);
  EXPECT_THAT(loaded(file).encode("aba"), ElementsAre(2, 0, 1, 0));
}

TEST(PiecesTokenizer, TheMarkOfASpaceIsASpace) {
  const Tokenizer tokenizer = loaded(Pieces(with_letters({{"▁a", -1}})).file());
  EXPECT_EQ(tokenizer.encode("b▁a"), tokenizer.encode("b a"));
  EXPECT_EQ(tokenizer.token_bytes(kFirst + 4), " a");
}

TEST(PiecesTokenizer, TextNeverBecomesAControlTokenUnasked) {
  // The pieces from which merging could make "<s>".
  const Tokenizer tokenizer =
      loaded(Pieces(with_letters({{"<", -10}, {"s", -10}, {">", -10}, {"<s", -1}})).file());
  EXPECT_THAT(tokenizer.encode("<s>"), testing::Not(testing::Contains(1)));
  EXPECT_THAT(tokenizer.encode("a<0x0A>"), testing::Not(testing::Contains(byte_id(10))));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("<s>")), "<s>");
  EXPECT_THAT(tokenizer.encode("<s>a", {.parse_special = true}), ElementsAre(1, kSpace, kA));
  EXPECT_THAT(tokenizer.encode("a</s>a", {.add_bos = true, .parse_special = true}),
              ElementsAre(1, kSpace, kA, 2, kSpace, kA));
}

TEST(PiecesTokenizer, UserDefinedPiecesAreMatchedInTheText) {
  const Tokenizer tokenizer =
      loaded(Pieces(with_letters({{"[x]", 0, 4}, {"▁▁▁", -1, 4}, {"▁▁", -2}})).file());
  EXPECT_THAT(tokenizer.encode("a[x]b"), ElementsAre(kSpace, kA, kFirst + 4, kSpace, kB));
  EXPECT_THAT(tokenizer.encode("  "), ElementsAre(kFirst + 5));
  EXPECT_EQ(tokenizer.token_bytes(kFirst + 5), "   ");
}

// Merging finds pieces of spaces in the middle of a text and with the space that goes before it: neither may
// be taken for the end of what stands before.
TEST(PiecesTokenizer, UserDefinedPiecesOfSpacesLoseAndAddNone) {
  const Tokenizer merged =
      loaded(Pieces(with_letters({{"▁▁", -1, 4}, {"▁▁▁▁", -2, 4}, {"▁a", -3}, {"[x]", 0, 4}})).file());
  EXPECT_THAT(merged.encode("a  b"), ElementsAre(kFirst + 6, kFirst + 4, kB));
  EXPECT_THAT(merged.encode("▁▁"), ElementsAre(kFirst + 4, kSpace));
  // Written with plain spaces they are matched in the text, and the text behind them begins anew.
  const Tokenizer matched = loaded(Pieces(with_letters({{"  ", 0, 4}, {"▁▁▁", -1}, {"▁a", -3}})).file());
  EXPECT_THAT(matched.encode("a  b"), ElementsAre(kFirst + 6, kFirst + 4, kSpace, kB));
  for (const Tokenizer* tokenizer : {&merged, &matched}) {
    for (const char* text : {" ", "  ", "   ", "    ", "a  b", "a   b", "a b", " a", "  a", "     a", "a ",
                             "a  ", "[x]", "[x] a", "  [x]  a", "a [x]   b    c"}) {
      EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
    }
  }
}

TEST(PiecesTokenizer, UnusedPiecesAreMergedThroughAndSplitAgain) {
  const Tokenizer tokenizer = loaded(Pieces(with_letters({{"ab", -1, 5}, {"abc", -2}})).file());
  EXPECT_THAT(tokenizer.encode("abc"), ElementsAre(kSpace, kFirst + 5));
  EXPECT_THAT(tokenizer.encode("ab"), ElementsAre(kSpace, kA, kB));
}

TEST(PiecesTokenizer, SpecialIdsHaveTheirUsualPlaces) {
  const Tokenizer tokenizer = loaded(Pieces(letters()).file());
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_EQ(tokenizer.eos(), 2);
  EXPECT_TRUE(tokenizer.is_end(2));
  EXPECT_TRUE(tokenizer.add_bos());
  EXPECT_TRUE(tokenizer.is_control(0));
}

TEST(PiecesTokenizer, BrokenVocabulariesAreRefused) {
  const auto error_of = [](float last, std::size_t scores) {
    std::vector<float> values(scores, 0.0F);
    values.back() = last;
    GgufBytes file;
    file.string("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", {"a", "b"})
        .numbers<float>("tokenizer.ggml.scores", kF32, values);
    const auto tokenizer = load(file);
    return tokenizer ? "" : tokenizer.error().message;
  };
  EXPECT_EQ(error_of(0.0F, 2), "");
  EXPECT_THAT(error_of(0.0F, 3), HasSubstr("3 scores"));
  EXPECT_THAT(error_of(std::numeric_limits<float>::quiet_NaN(), 2), HasSubstr("not finite"));
  GgufBytes none;
  none.string("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", {"a"});
  EXPECT_THAT(load(none).error().message, HasSubstr("tokenizer.ggml.scores"));
}

// The definition, without queue or cuts: the best neighbours of all are joined, again and again.
std::vector<std::string> joined_slowly(const std::string& text, const std::map<std::string, float>& scores) {
  std::vector<std::string> parts;
  for (const char c : text) parts.emplace_back(1, c);
  while (true) {
    std::size_t best = parts.size();
    float best_score = 0.0F;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = scores.find(parts[i] + parts[i + 1]);
      if (found == scores.end() || (best < parts.size() && found->second <= best_score)) continue;
      best = i;
      best_score = found->second;
    }
    if (best == parts.size()) return parts;
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(PiecesTokenizer, QueueAndCutsGiveWhatTheDefinitionGives) {
  SeededRng rng(11);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(rng.next() % n); };
  const std::string alphabet = " abc";
  for (int round = 0; round < 60; ++round) {
    // Every second vocabulary has pieces that reach from one word into the next: then nothing may be cut.
    const bool across = round % 2 == 0;
    std::map<std::string, float> scores = {{" ", -99}, {"a", -99}, {"b", -99}, {"c", -99}};
    for (int i = 0; i < 60; ++i) {
      std::string piece(1, alphabet[below(4)]);
      for (std::size_t more = 1 + below(4); more > 0; --more)
        piece += alphabet[across ? below(4) : 1 + below(3)];
      scores[piece] = -static_cast<float>(below(20));
    }
    std::vector<Token> tokens;
    for (const auto& [piece, score] : scores) {
      std::string text;
      for (const char c : piece) text += c == ' ' ? "▁" : std::string(1, c);
      tokens.push_back({text, score});
    }
    const Tokenizer tokenizer = loaded(Pieces(tokens).file());
    for (int i = 0; i < 30; ++i) {
      std::string text;
      for (std::size_t bytes = below(60); bytes > 0; --bytes) text += alphabet[below(4)];
      std::vector<std::string> got;
      for (const TokenId id : tokenizer.encode(text)) got.emplace_back(tokenizer.token_bytes(id));
      EXPECT_EQ(got, text.empty() ? std::vector<std::string>() : joined_slowly(" " + text, scores)) << text;
      EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
    }
  }
}

TEST(PiecesTokenizer, AnyBytesComeBack) {
  const Tokenizer tokenizer =
      loaded(Pieces(with_letters({{"ab", -1}, {"▁▁", -1}, {"é", -2}, {"c▁a", -3}})).file());
  SeededRng rng(5);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::uint8_t> raw(rng.next() % 40);
    rng.fill(raw);
    std::string text;
    for (const std::uint8_t byte : raw)
      text += byte < 160 ? "abc é\xE2\x96<s>"[byte % 12] : static_cast<char>(byte);
    if (text.find("▁") != std::string::npos) continue;
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST(PiecesTokenizer, LongTextsTakeTimeInProportion) {
  const Tokenizer tokenizer = loaded(Pieces(with_letters({{"aa", -1}, {"aaaa", -2}, {"b▁a", -3}})).file());
  const std::string text(3'000'000, 'a');
  EXPECT_EQ(tokenizer.encode(text).size(), 1 + text.size() / 4);
}

}  // namespace
}  // namespace sluice
