#include "producer/live/live_answer.h"

#include <algorithm>

namespace sluice::producer {

namespace {

// Puts `piece`, which begins at `at`, to what is known. Answers up to where the two agree, if that is not
// everywhere. A piece behind a hole is of no use.
std::optional<std::size_t> merge(std::string& known, std::size_t at, std::string_view piece) {
  if (at > known.size()) return std::nullopt;
  const std::string_view there = std::string_view(known).substr(at);
  const std::size_t both = std::min(there.size(), piece.size());
  const auto differs =
      std::mismatch(there.begin(), there.begin() + static_cast<std::ptrdiff_t>(both), piece.begin());
  const auto same = static_cast<std::size_t>(differs.first - there.begin());
  if (same < both) {
    known.resize(at + same);
    known += piece.substr(same);
    return at + same;
  }
  if (piece.size() > both) known += piece.substr(both);
  return std::nullopt;
}

std::optional<std::size_t> merge_whole(std::string& known, std::string_view whole) {
  auto cut = merge(known, 0, whole);
  if (!cut && known.size() > whole.size()) cut = whole.size();
  known = whole;
  return cut;
}

}  // namespace

std::optional<TextPlace> LiveAnswer::take(const LiveText& entry) {
  if (entry.attempt < attempt_) return std::nullopt;
  attempt_ = entry.attempt;
  tokens_ = entry.tokens;
  if (const auto cut = merge(reasoning_, entry.reasoning_at, entry.reasoning)) {
    // What was said after other thoughts is of no worth.
    text_.clear();
    merge(text_, entry.text_at, entry.text);
    return TextPlace{0, *cut};
  }
  if (const auto cut = merge(text_, entry.text_at, entry.text)) return TextPlace{*cut, reasoning_.size()};
  return std::nullopt;
}

std::optional<TextPlace> LiveAnswer::complete(std::string_view text, std::string_view reasoning) {
  const auto reasoning_cut = merge_whole(reasoning_, reasoning);
  const auto text_cut = merge_whole(text_, text);
  if (reasoning_cut) return TextPlace{0, *reasoning_cut};
  if (text_cut) return TextPlace{*text_cut, reasoning_.size()};
  return std::nullopt;
}

std::uint32_t LiveAnswer::hash_before(const TextPlace& place) const {
  const std::uint32_t thoughts =
      live_hash(kLiveHashBegin, std::string_view(reasoning_).substr(0, place.reasoning));
  return live_hash(thoughts, std::string_view(text_).substr(0, place.text));
}

}  // namespace sluice::producer
