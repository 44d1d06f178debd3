// Takes a chunked body apart as it comes. Strict where leniency has been used for smuggling: sizes are plain
// hex digits that fit, lines end in CR LF, extensions and trailers are short, hold no control bytes, and are
// dropped.
//
// Ours and not Beast 1.74's: that one asserts on a last chunk that arrives byte by byte, and lets a chunk's
// extension grow as long as the buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/http/refusal.h"

namespace sluice::http {

class ChunkDecoder {
 public:
  enum class State { kMore, kDone, kBad };

  // More than `body_max` bytes of data is 413.
  explicit ChunkDecoder(std::size_t body_max) : body_max_(body_max) {}

  // Appends the data in `bytes` to `body`, from which the caller may take between two calls. `used` says how
  // far it came: after kDone the rest belongs to the next request.
  State decode(std::string_view bytes, std::string& body, std::size_t& used);
  const Refusal& refusal() const { return refusal_; }  // After kBad.

 private:
  enum class Place {
    kSizeStart,  // The first digit of a size.
    kSize,
    kExtension,
    kSizeEnd,  // The LF of the size's line.
    kData,
    kDataEnd,   // CR after the data.
    kDataEnd2,  // LF after the data.
    kTrailerStart,
    kTrailer,
    kTrailerEnd,  // The LF of a trailer's line.
    kLastEnd,     // The LF of the empty line.
  };
  static constexpr std::size_t kExtensionBytesMax = 256;  // Of one chunk.
  static constexpr std::size_t kTrailerBytesMax = 4096;   // All trailers together.
  // A body sent in chunks of a byte costs six times its size; extensions make it worse. More overhead than
  // this is an attack on our time.
  static constexpr std::size_t kOverheadBytesMax = 1 << 20;

  State step(char c);
  State bad(int status, std::string_view code, std::string_view message);

  const std::size_t body_max_;
  std::size_t data_bytes_ = 0;  // So far.
  Place place_ = Place::kSizeStart;
  std::uint64_t size_ = 0;  // Of the chunk; then what is left of it.
  int digits_ = 0;
  std::size_t extension_bytes_ = 0;
  std::size_t trailer_bytes_ = 0;
  std::size_t overhead_bytes_ = 0;
  Refusal refusal_;
};

}  // namespace sluice::http
