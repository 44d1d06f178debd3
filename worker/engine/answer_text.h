// The text of one answer as its tokens come: bytes joined to whole characters, and cut before a stop string.
// Not safe for concurrent use: one for each sequence.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/text/stop_matcher.h"
#include "common/text/utf8_stream.h"

namespace sluice {

class AnswerText {
 public:
  explicit AnswerText(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // Takes a token's bytes; returns what is certain to belong to the answer by now.
  std::string push(std::string_view bytes) { return stops_.push(utf8_.push(bytes)); }
  // No more tokens will come: what was held back.
  std::string finish() {
    std::string rest = stops_.push(utf8_.finish());
    return rest + stops_.finish();
  }
  bool stopped() const { return stops_.stopped(); }

 private:
  Utf8Stream utf8_;
  StopMatcher stops_;
};

}  // namespace sluice
