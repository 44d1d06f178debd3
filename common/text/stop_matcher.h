// Finds stop strings in text that comes in pieces, across their borders. Text that may turn out to be the
// start of a stop string is held back until that is settled; a stop string itself is never given out. Of
// several, the one that is complete first wins; of those complete at the same place, the longest.
//
// Work is linear in the text for each stop string. Not safe for concurrent use: one for each generated
// sequence.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

class StopMatcher {
 public:
  // Empty strings are ignored.
  explicit StopMatcher(std::vector<std::string> stops);

  // Takes text, returns what certainly comes before any stop string. After a stop: nothing, ever.
  std::string push(std::string_view text);
  // No more text will come: what was held back (nothing after a stop).
  std::string finish();
  bool stopped() const { return stopped_.has_value(); }
  // The string that stopped it; nullptr if none did.
  const std::string* stop() const { return stopped_ ? &patterns_[*stopped_].text : nullptr; }

 private:
  struct Pattern {
    std::string text;
    std::vector<std::size_t> fallback;  // For each length matched: the longest border of that part.
    std::size_t matched = 0;            // How many of its bytes the text ends with.
  };

  std::vector<Pattern> patterns_;
  std::string held_;
  std::optional<std::size_t> stopped_;  // Which of the patterns.
};

}  // namespace sluice
