#include "common/text/utf8_stream.h"

#include "common/text/unicode.h"

namespace sluice {
namespace {

// How many bytes at `at` are the start of some valid sequence, without being one themselves. 0: none are.
std::size_t prefix_bytes(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned first = byte(0);
  if (first < 0xC2 || first > 0xF4) return 0;
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  std::size_t good = 1;
  while (good < length && at + good < text.size()) {
    unsigned low = 0x80;
    unsigned high = 0xBF;
    if (good == 1) {  // The second byte rules out overlong forms, surrogates and what is beyond U+10FFFF.
      if (first == 0xE0) low = 0xA0;
      if (first == 0xED) high = 0x9F;
      if (first == 0xF0) low = 0x90;
      if (first == 0xF4) high = 0x8F;
    }
    if (byte(good) < low || byte(good) > high) break;
    ++good;
  }
  return good;
}

}  // namespace

std::string Utf8Stream::push(std::string_view bytes) {
  std::string joined;
  if (!held_.empty()) {
    joined = std::move(held_);
    held_.clear();
    joined += bytes;
    bytes = joined;
  }
  std::string out;
  out.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    const DecodedChar next = utf8_decode(bytes, at);
    if (next.valid) {
      out += bytes.substr(at, next.bytes);
      at += next.bytes;
      continue;
    }
    const std::size_t prefix = prefix_bytes(bytes, at);
    if (prefix > 0 && at + prefix == bytes.size()) {
      held_ = bytes.substr(at);
      break;
    }
    utf8_append(out, kReplacementChar);
    at += prefix > 0 ? prefix : 1;
  }
  return out;
}

std::string Utf8Stream::finish() {
  std::string out;
  if (!held_.empty()) utf8_append(out, kReplacementChar);
  held_.clear();
  return out;
}

}  // namespace sluice
