#include "common/http/header_scan.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "common/http/head.h"

namespace sluice::http {
namespace {

constexpr HeaderLimits kLimits{.header_bytes_max = 2000, .target_bytes_max = 100, .header_count_max = 10};

HeaderScan::State scan_all(std::string_view text) {
  HeaderScan scan(kLimits);
  return scan.scan(text);
}

TEST(HeaderScan, FindsTheEndWhateverThePieces) {
  const std::string header = "GET / HTTP/1.1\r\nHost: t\r\nX-Empty:\r\nX:\t a b \r\n\r\n";
  const std::string text = header + "body\r\n\r\n";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    HeaderScan scan(kLimits);
    HeaderScan::State state = HeaderScan::State::kMore;
    for (std::size_t end = piece; state == HeaderScan::State::kMore; end += piece) {
      state = scan.scan(std::string_view(text).substr(0, end));
    }
    EXPECT_EQ(state, HeaderScan::State::kDone);
    EXPECT_EQ(scan.size(), header.size());
  }
}

TEST(HeaderScan, RefusesAtTheFirstWrongByteNotAtTheEnd) {
  for (const char* start :
       {"GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nA: b\n", "GET / HTTP/1.1\r\n A", "G\x01",
        "GET / HTTP/1.1\r\nA b", "GET / HTTP/1.1\r\nA: \x80", "GET / HTTP/1.1\r\nA: b\r\r", "GET / x HTTP",
        "GET /\r", "GET / HTTP/1.1\r\n\rX", "\r\n", "G\xc3\xa9T"}) {
    EXPECT_EQ(scan_all(start), HeaderScan::State::kBad) << start;
  }
}

TEST(HeaderScan, LimitsAreExact) {
  const auto with_target = [](std::size_t size) { return "GET /" + std::string(size - 1, 'a'); };
  EXPECT_EQ(scan_all(with_target(100)), HeaderScan::State::kMore);
  EXPECT_EQ(scan_all(with_target(101)), HeaderScan::State::kBad);
  const auto with_fields = [](int count) {
    std::string text = "GET / HTTP/1.1\r\n";
    for (int i = 0; i < count; ++i) text += "A: b\r\n";
    return text + "\r\n";
  };
  EXPECT_EQ(scan_all(with_fields(10)), HeaderScan::State::kDone);
  EXPECT_EQ(scan_all(with_fields(11)), HeaderScan::State::kBad);
  const auto with_size = [](std::size_t size) {
    const std::string start = "GET / HTTP/1.1\r\nA: ";
    return start + std::string(size - start.size() - 4, 'a') + "\r\n\r\n";
  };
  EXPECT_EQ(scan_all(with_size(2000)), HeaderScan::State::kDone);
  EXPECT_EQ(scan_all(with_size(2001)), HeaderScan::State::kBad);
}

// The same rules written down a second time, slowly and by lines, to hold the state machine against.
bool reference_accepts(const std::string& header) {
  const auto token = [](const std::string& text) {
    if (text.empty()) return false;
    for (const char c : text) {
      if (std::isalnum(static_cast<unsigned char>(c)) == 0 &&
          (c == 0 || std::string("!#$%&'*+-.^_`|~").find(c) == std::string::npos)) {
        return false;
      }
    }
    return true;
  };
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < header.size();) {
    const std::size_t end = header.find("\r\n", at);
    if (end == std::string::npos) return false;
    lines.push_back(header.substr(at, end - at));
    at = end + 2;
  }
  if (lines.size() < 2 || !lines.back().empty()) return false;
  if (lines.size() - 2 > static_cast<std::size_t>(kLimits.header_count_max)) return false;
  int spaces = 0;
  for (const char c : lines[0]) {
    if (c == ' ') {
      ++spaces;
    } else if (c < 0x21 || c > 0x7e) {
      return false;
    }
  }
  if (spaces != 2) return false;
  const std::size_t first = lines[0].find(' ');
  const std::size_t second = lines[0].find(' ', first + 1);
  const std::string method = lines[0].substr(0, first);
  if ((!method.empty() && !token(method)) || method.size() > 32) return false;
  if (second - first - 1 > kLimits.target_bytes_max) return false;
  for (std::size_t i = 1; i + 1 < lines.size(); ++i) {
    const std::size_t colon = lines[i].find(':');
    if (colon == std::string::npos || !token(lines[i].substr(0, colon))) return false;
    for (const char c : lines[i].substr(colon + 1)) {
      if (c != '\t' && (c < 0x20 || c > 0x7e)) return false;
    }
  }
  return true;
}

// Seeded damage: the state machine, the slow reference, and any cutting into pieces agree; what is let
// through never surprises the parser behind it.
TEST(HeaderScan, AgreesWithItsReferenceOnDamagedHeaders) {
  const std::vector<std::string> good{
      "GET / HTTP/1.1\r\nHost: t\r\n\r\n",
      "POST /v1/jobs?x=%20 HTTP/1.1\r\nHost: t:80\r\nContent-Length: 5\r\nX-A:\t b \r\n\r\n",
      "POST /a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive, x\r\n\r\n",
      "OPTIONS * HTTP/1.0\r\n\r\n"};
  const std::string bytes = std::string("\0\r\n\t :;,-+%/{\"", 14) + "\x7f\x80\xff" + "019aX";
  constexpr unsigned kSeed = 4242;
  std::mt19937 random(kSeed);
  int accepted = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string text = good[random() % good.size()];
    for (unsigned i = 0; i < 1 + random() % 3; ++i) {
      const std::size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = bytes[random() % bytes.size()];
          break;
        case 1:
          text.insert(at, 1, bytes[random() % bytes.size()]);
          break;
        case 2:
          text.erase(at, 1);
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), random() % 12));
      }
      if (text.empty()) text = "x";
    }
    SCOPED_TRACE("seed " + std::to_string(kSeed) + ", round " + std::to_string(round));

    HeaderScan whole(kLimits);
    const HeaderScan::State state = whole.scan(text);
    HeaderScan pieces(kLimits);
    HeaderScan::State piecewise = HeaderScan::State::kMore;
    for (std::size_t end = 0; end < text.size();) {
      end = std::min<std::size_t>(text.size(), end + 1 + random() % 20);
      piecewise = pieces.scan(std::string_view(text).substr(0, end));
    }
    ASSERT_EQ(state, piecewise);
    ASSERT_EQ(whole.size(), pieces.size());

    const std::size_t end = text.find("\r\n\r\n");
    const bool expected = end != std::string::npos && reference_accepts(text.substr(0, end + 4));
    ASSERT_EQ(state == HeaderScan::State::kDone, expected) << text;
    if (state != HeaderScan::State::kDone) continue;
    ++accepted;
    ParsedHead parsed;
    Refusal refusal;
    const std::string header = text.substr(0, whole.size());
    if (!parse_head(header, parsed, refusal)) {
      ASSERT_GE(refusal.status, 400);
      continue;
    }
    // No two ways to tell where it ends.
    ASSERT_FALSE(parsed.framing.chunked && parsed.head.content_length.has_value());
    ASSERT_EQ(parsed.head.has_body, parsed.framing.chunked || parsed.head.content_length.value_or(0) > 0);
    std::size_t lines = 0;
    for (std::size_t at = header.find("\r\n"); at != std::string::npos; at = header.find("\r\n", at + 2))
      ++lines;
    ASSERT_EQ(parsed.head.headers.size(), lines - 2);
  }
  EXPECT_GT(accepted, 5'000);
}

}  // namespace
}  // namespace sluice::http
