// Makes valid UTF-8 out of bytes that come in pieces cut anywhere (tokens of a byte-level vocabulary): a
// character that isn't complete yet is held back; bytes that can't be UTF-8 become U+FFFD, one for each
// maximal part of a sequence, as decoders commonly do.
//
// Not safe for concurrent use: one for each generated sequence.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

class Utf8Stream {
 public:
  // Takes bytes, returns what is certain by now: always valid UTF-8, maybe empty.
  std::string push(std::string_view bytes);
  // No more bytes will come: what was held back, as U+FFFD. The stream can then be used anew.
  std::string finish();
  bool holding() const { return !held_.empty(); }

 private:
  std::string held_;  // The start of a sequence, at most 3 bytes.
};

}  // namespace sluice
