// The answer of one job as far as its live text tells it.
//
// Entries may come again, from an earlier start that is still at it, or not at all: their offsets sort that
// out. Not safe for concurrent use.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/live/live_text.h"

namespace sluice::producer {

// A place in an answer: bytes of result.text and of result.reasoning_content before it. Thoughts come first.
struct TextPlace {
  std::size_t text = 0;
  std::size_t reasoning = 0;
  bool operator==(const TextPlace&) const = default;
};

class LiveAnswer {
 public:
  // Nullopt: whatever was known still holds. Else: only what comes before this place does.
  std::optional<TextPlace> take(const LiveText& entry);
  // The same for the whole answer, as the result has it.
  std::optional<TextPlace> complete(std::string_view text, std::string_view reasoning);

  const std::string& text() const { return text_; }
  const std::string& reasoning() const { return reasoning_; }
  TextPlace end() const { return {text_.size(), reasoning_.size()}; }
  bool covers(const TextPlace& place) const {
    return place.text <= text_.size() && place.reasoning <= reasoning_.size();
  }
  // live_hash() of what comes before `place`, which must be covered.
  std::uint32_t hash_before(const TextPlace& place) const;
  std::int64_t tokens() const { return tokens_; }  // Generated so far by the latest attempt that spoke.

 private:
  int attempt_ = 0;  // The latest that spoke; 0 = none yet.
  std::int64_t tokens_ = 0;
  std::string text_;
  std::string reasoning_;
};

}  // namespace sluice::producer
