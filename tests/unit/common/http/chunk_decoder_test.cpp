#include "common/http/chunk_decoder.h"

#include <gtest/gtest.h>

namespace sluice::http {
namespace {

ChunkDecoder::State decode(std::string_view text, std::string& body, std::size_t& used, std::size_t piece,
                           std::size_t body_max = 100) {
  ChunkDecoder decoder(body_max);
  ChunkDecoder::State state = ChunkDecoder::State::kMore;
  used = 0;
  while (state == ChunkDecoder::State::kMore && used < text.size()) {
    std::size_t now = 0;
    state = decoder.decode(text.substr(used, piece), body, now);
    used += now;
  }
  return state;
}

TEST(ChunkDecoder, TakesABodyApartWhateverThePieces) {
  const std::string text =
      "3\r\nabc\r\nA;name=\"v;x\"\r\n0123456789\r\n000\r\nTrailer: x\r\nOther: y\r\n\r\nGET /";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    std::string body;
    std::size_t used = 0;
    EXPECT_EQ(decode(text, body, used, piece), ChunkDecoder::State::kDone);
    EXPECT_EQ(body, "abc0123456789");
    EXPECT_EQ(text.substr(used), "GET /");
  }
}

TEST(ChunkDecoder, TheLimitIsExact) {
  std::string body;
  std::size_t used = 0;
  EXPECT_EQ(decode("5\r\nabcde\r\n5\r\nabcde\r\n0\r\n\r\n", body, used, 100, 10), ChunkDecoder::State::kDone);
  body.clear();
  EXPECT_EQ(decode("5\r\nabcde\r\n6\r\nabcdef\r\n0\r\n\r\n", body, used, 100, 10), ChunkDecoder::State::kBad);
  EXPECT_EQ(body, "abcde");
}

TEST(ChunkDecoder, RefusesWhatIsNotPlain) {
  for (const char* bad :
       {"-1\r\n", "g\r\n", " 1\r\n", "1 \r\n", "1\n", "1\r\nab\r\n", "1\r\na\n", "1\r\na\rX", ";x\r\n",
        "\r\n", "1;\x01\r\n", "0\r\n\tX: y\r\n\r\n", "0\r\nX\n\r\n", "0\r\n\rX", "fffffffffffffffff\r\n"}) {
    for (const std::size_t piece : {1, 100}) {
      std::string body;
      std::size_t used = 0;
      EXPECT_EQ(decode(bad, body, used, piece), ChunkDecoder::State::kBad) << bad;
    }
  }
}

TEST(ChunkDecoder, ABodyThatIsMostlyFramingIsRefused) {
  ChunkDecoder decoder(1 << 24);
  std::string body;
  std::size_t used = 0;
  const std::string wasteful = "1;" + std::string(250, 'x') + "\r\na\r\n";
  ChunkDecoder::State state = ChunkDecoder::State::kMore;
  int chunks = 0;
  for (; chunks < 100'000 && state == ChunkDecoder::State::kMore; ++chunks) {
    state = decoder.decode(wasteful, body, used);
  }
  EXPECT_EQ(state, ChunkDecoder::State::kBad);
  // Chunks of one byte without extensions are silly, but allowed.
  ChunkDecoder silly(1 << 24);
  body.clear();
  for (int i = 0; i < 1'000'000; ++i)
    ASSERT_EQ(silly.decode("1\r\na\r\n", body, used), ChunkDecoder::State::kMore);
}

}  // namespace
}  // namespace sluice::http
