#include "common/text/marked_text.h"

#include <algorithm>

namespace sluice {

void MarkedText::append(std::string_view text, bool trusted) {
  if (text.empty()) return;
  text_ += text;
  if (!runs_.empty() && runs_.back().trusted == trusted) {
    runs_.back().end = text_.size();
  } else {
    runs_.push_back({text_.size(), trusted});
  }
}

void MarkedText::append(const MarkedText& other, std::size_t from, std::size_t count) {
  const std::size_t to = from + std::min(count, other.size() - from);
  for (std::size_t run = other.run_at(from); from < to; ++run) {
    const std::size_t end = std::min(to, other.runs_[run].end);
    append(std::string_view(other.text_).substr(from, end - from), other.runs_[run].trusted);
    from = end;
  }
}

MarkedText MarkedText::substr(std::size_t from, std::size_t count) const {
  MarkedText part;
  part.append(*this, from, count);
  return part;
}

bool MarkedText::trusted(std::size_t from, std::size_t to) const {
  for (std::size_t run = run_at(from); from < to; ++run) {
    if (!runs_[run].trusted) return false;
    from = runs_[run].end;
  }
  return true;
}

// The run that holds `position`; runs().size() at the end.
std::size_t MarkedText::run_at(std::size_t position) const {
  const auto run = std::upper_bound(runs_.begin(), runs_.end(), position,
                                    [](std::size_t at, const Run& candidate) { return at < candidate.end; });
  return static_cast<std::size_t>(run - runs_.begin());
}

}  // namespace sluice
