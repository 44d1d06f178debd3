#include "common/http/chunk_decoder.h"

#include <algorithm>

namespace sluice::http {

namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_text(char c) {
  return (c >= 0x20 && c < 0x7f) || c == '\t';
}

}  // namespace

ChunkDecoder::State ChunkDecoder::bad(int status, std::string_view code, std::string_view message) {
  refusal_ = {status, code, std::string(message)};
  return State::kBad;
}

ChunkDecoder::State ChunkDecoder::decode(std::string_view bytes, std::string& body, std::size_t& used) {
  used = 0;
  while (used < bytes.size()) {
    if (place_ == Place::kData) {
      const std::size_t taken = static_cast<std::size_t>(std::min<std::uint64_t>(size_, bytes.size() - used));
      body.append(bytes.substr(used, taken));
      used += taken;
      data_bytes_ += taken;
      size_ -= taken;
      if (size_ == 0) place_ = Place::kDataEnd;
      continue;
    }
    const State state = step(bytes[used++]);
    if (state != State::kMore) return state;
    if (place_ == Place::kData && size_ > body_max_ - data_bytes_) {
      return bad(413, "body_too_large", "the request body is too large");
    }
    if (++overhead_bytes_ > kOverheadBytesMax + 16 * data_bytes_) {
      return bad(400, "bad_chunk", "the chunks are mostly framing");
    }
  }
  return State::kMore;
}

ChunkDecoder::State ChunkDecoder::step(char c) {
  switch (place_) {
    case Place::kSizeStart:
      size_ = 0;
      digits_ = 0;
      extension_bytes_ = 0;
      if (hex_value(c) < 0) return bad(400, "bad_chunk", "a chunk size must be hexadecimal digits");
      place_ = Place::kSize;
      [[fallthrough]];
    case Place::kSize:
      if (const int digit = hex_value(c); digit >= 0) {
        // Sixteen digits fit 64 bits, whatever they are; the limit also ends an endless row of zeros.
        if (++digits_ > 16) return bad(400, "bad_chunk", "a chunk size is too long");
        size_ = size_ * 16 + static_cast<std::uint64_t>(digit);
        return State::kMore;
      }
      if (c == '\r') {
        place_ = Place::kSizeEnd;
        return State::kMore;
      }
      if (c != ';') return bad(400, "bad_chunk", "a chunk size must be hexadecimal digits");
      place_ = Place::kExtension;
      return State::kMore;
    case Place::kExtension:
      if (c == '\r') {
        place_ = Place::kSizeEnd;
        return State::kMore;
      }
      if (!is_text(c) || ++extension_bytes_ > kExtensionBytesMax) {
        return bad(400, "bad_chunk", "a chunk extension is too long or holds a forbidden byte");
      }
      return State::kMore;
    case Place::kSizeEnd:
      if (c != '\n') return bad(400, "bad_chunk", "a chunk line must end in CR LF");
      place_ = size_ == 0 ? Place::kTrailerStart : Place::kData;
      return State::kMore;
    case Place::kDataEnd:
      if (c != '\r') return bad(400, "bad_chunk", "a chunk's data must end in CR LF");
      place_ = Place::kDataEnd2;
      return State::kMore;
    case Place::kDataEnd2:
      if (c != '\n') return bad(400, "bad_chunk", "a chunk's data must end in CR LF");
      place_ = Place::kSizeStart;
      return State::kMore;
    case Place::kTrailerStart:
      if (c == '\r') {
        place_ = Place::kLastEnd;
        return State::kMore;
      }
      if (c == ' ' || c == '\t') return bad(400, "bad_trailer", "a trailer line must not start with a space");
      place_ = Place::kTrailer;
      [[fallthrough]];
    case Place::kTrailer:
      if (c == '\r') {
        place_ = Place::kTrailerEnd;
        return State::kMore;
      }
      if (!is_text(c) || ++trailer_bytes_ > kTrailerBytesMax) {
        return bad(400, "bad_trailer", "the trailers are too long or hold a forbidden byte");
      }
      return State::kMore;
    case Place::kTrailerEnd:
      if (c != '\n') return bad(400, "bad_trailer", "a trailer line must end in CR LF");
      place_ = Place::kTrailerStart;
      return State::kMore;
    case Place::kLastEnd:
      if (c != '\n') return bad(400, "bad_trailer", "a trailer line must end in CR LF");
      return State::kDone;
    case Place::kData:
      break;
  }
  return State::kMore;
}

}  // namespace sluice::http
