// Looks at the raw bytes of a request's header as they come, before any parser does, and lets through only
// what every HTTP parser reads in one and the same way: CRLF line ends, visible ASCII, no folded lines,
// nothing between a name and its colon. What two parsers read differently is what requests are smuggled with.
//
// A value for one connection's strand; holds no bytes itself.
#pragma once

#include <cstddef>
#include <string_view>

#include "common/http/refusal.h"

namespace sluice::http {

struct HeaderLimits {
  std::size_t header_bytes_max = 0;
  std::size_t target_bytes_max = 0;
  int header_count_max = 0;
};

class HeaderScan {
 public:
  enum class State { kMore, kDone, kBad };

  explicit HeaderScan(const HeaderLimits& limits) : limits_(limits) {}

  // `bytes` is all that has come of the request so far; what was seen by an earlier call is skipped. kMore:
  // as far as it goes all is well. After kDone and kBad the answer stays.
  State scan(std::string_view bytes);
  // After kDone: the header's size, with the empty line that ends it.
  std::size_t size() const { return position_; }
  // After kBad.
  const Refusal& refusal() const { return refusal_; }
  // For the next request.
  void reset();

 private:
  enum class Place { kRequestLine, kLineEnd, kLineStart, kName, kValue, kLastEnd };

  bool step(char c);  // False: refused.
  bool refuse(int status, std::string_view code, std::string_view message);

  const HeaderLimits limits_;
  std::size_t position_ = 0;
  Place place_ = Place::kRequestLine;
  State state_ = State::kMore;
  int fields_ = 0;
  int spaces_ = 0;  // In the request line.
  std::size_t target_bytes_ = 0;
  Refusal refusal_;
};

// tchar of RFC 9110: what methods and field names are made of.
bool is_token_char(char c);

}  // namespace sluice::http
