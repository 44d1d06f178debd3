#include "common/http/header_scan.h"

#include <array>

namespace sluice::http {

namespace {

constexpr std::array<bool, 256> make_token_table() {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<unsigned char>(c)] = true;
  return table;
}
constexpr std::array<bool, 256> kTokenTable = make_token_table();

bool is_visible(char c) {
  return c > 0x20 && c < 0x7f;
}

}  // namespace

bool is_token_char(char c) {
  return kTokenTable[static_cast<unsigned char>(c)];
}

void HeaderScan::reset() {
  position_ = 0;
  place_ = Place::kRequestLine;
  state_ = State::kMore;
  fields_ = 0;
  spaces_ = 0;
  target_bytes_ = 0;
}

bool HeaderScan::refuse(int status, std::string_view code, std::string_view message) {
  state_ = State::kBad;
  refusal_ = {status, code, std::string(message)};
  return false;
}

HeaderScan::State HeaderScan::scan(std::string_view bytes) {
  while (state_ == State::kMore && position_ < bytes.size()) {
    if (position_ == limits_.header_bytes_max) {
      refuse(431, "header_too_large", "the request header is too large");
      break;
    }
    if (!step(bytes[position_])) break;
    ++position_;
  }
  return state_;
}

bool HeaderScan::step(char c) {
  switch (place_) {
    case Place::kRequestLine:
      if (c == '\r') {
        // Three parts: a line with fewer is no HTTP, one with more can be cut in two ways.
        if (spaces_ != 2) return refuse(400, "bad_request_line", "the request line must have three parts");
        place_ = Place::kLineEnd;
      } else if (c == ' ') {
        if (++spaces_ > 2) return refuse(400, "bad_request_line", "the request line must have three parts");
      } else if (!is_visible(c)) {
        return refuse(400, "bad_byte_in_request_line", "the request line may hold visible ASCII only");
      } else if (spaces_ == 0) {
        if (!is_token_char(c)) return refuse(400, "bad_method", "the method is no token");
        // A client that sends no space must not fill the whole header with its method.
        if (position_ >= 32) return refuse(501, "unknown_method", "the method is not known");
      } else if (spaces_ == 1 && ++target_bytes_ > limits_.target_bytes_max) {
        return refuse(414, "target_too_long", "the request target is too long");
      }
      return true;

    case Place::kLineEnd:
      if (c != '\n') return refuse(400, "bad_line_end", "a header line must end in CR LF");
      place_ = Place::kLineStart;
      return true;

    case Place::kLineStart:
      if (c == '\r') {
        place_ = Place::kLastEnd;
        return true;
      }
      if (c == ' ' || c == '\t')
        return refuse(400, "folded_header", "a header line must not start with a space");
      if (!is_token_char(c))
        return refuse(400, "bad_header_name", "a header name may hold token characters only");
      if (++fields_ > limits_.header_count_max) {
        return refuse(431, "too_many_headers", "the request has too many header fields");
      }
      place_ = Place::kName;
      return true;

    case Place::kName:
      if (c == ':') {
        place_ = Place::kValue;
      } else if (!is_token_char(c)) {
        return refuse(400, "bad_header_name", "a header name may hold token characters only");
      }
      return true;

    case Place::kValue:
      if (c == '\r') {
        place_ = Place::kLineEnd;
      } else if (!is_visible(c) && c != ' ' && c != '\t') {
        return refuse(400, "bad_byte_in_header",
                      "a header value may hold visible ASCII, spaces and tabs only");
      }
      return true;

    case Place::kLastEnd:
      if (c != '\n') return refuse(400, "bad_line_end", "a header line must end in CR LF");
      state_ = State::kDone;
      return true;
  }
  return false;
}

}  // namespace sluice::http
