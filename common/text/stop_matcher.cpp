#include "common/text/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

// fallback[n]: the length of the longest proper suffix of the first n bytes that is also their prefix.
std::vector<std::size_t> borders(std::string_view text) {
  std::vector<std::size_t> fallback(text.size() + 1, 0);
  std::size_t border = 0;
  for (std::size_t i = 1; i < text.size(); ++i) {
    while (border > 0 && text[i] != text[border]) border = fallback[border];
    if (text[i] == text[border]) ++border;
    fallback[i + 1] = border;
  }
  return fallback;
}

}  // namespace

StopMatcher::StopMatcher(std::vector<std::string> stops) {
  for (std::string& stop : stops) {
    if (stop.empty()) continue;
    std::vector<std::size_t> fallback = borders(stop);
    patterns_.push_back(Pattern{std::move(stop), std::move(fallback)});
  }
}

std::string StopMatcher::push(std::string_view text) {
  if (stopped_) return {};
  if (patterns_.empty()) return std::string(text);
  for (const char c : text) {
    held_ += c;
    for (std::size_t i = 0; i < patterns_.size(); ++i) {
      Pattern& pattern = patterns_[i];
      std::size_t& matched = pattern.matched;
      while (matched > 0 && pattern.text[matched] != c) matched = pattern.fallback[matched];
      if (pattern.text[matched] == c) ++matched;
      const bool complete = matched == pattern.text.size();
      if (complete && (!stopped_ || patterns_[*stopped_].text.size() < pattern.text.size())) stopped_ = i;
    }
    if (stopped_) {
      held_.resize(held_.size() - patterns_[*stopped_].text.size());
      return std::exchange(held_, {});
    }
  }
  std::size_t keep = 0;
  for (const Pattern& pattern : patterns_) keep = std::max(keep, pattern.matched);
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return out;
}

std::string StopMatcher::finish() {
  return std::exchange(held_, {});
}

}  // namespace sluice
