#include "worker/engine/reasoning.h"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

std::size_t first_not_space(std::string_view text) {
  return std::min(text.find_first_not_of(kSpace), text.size());
}

std::string_view without_trailing_space(std::string_view text) {
  const std::size_t last = text.find_last_not_of(kSpace);
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

// Where a beginning of `mark` that the text ends with starts.
std::size_t mark_begun_at(std::string_view text, std::string_view mark) {
  for (std::size_t n = std::min(text.size(), mark.size() - 1); n > 0; --n) {
    if (text.substr(text.size() - n) == mark.substr(0, n)) return text.size() - n;
  }
  return text.size();
}

}  // namespace

ReasoningSplitter::Pieces ReasoningSplitter::push(std::string_view text) {
  Pieces out;
  held_ += text;
  if (state_ == Begins::kEither) {
    const std::string_view rest = std::string_view(held_).substr(first_not_space(held_));
    if (rest.starts_with(kOpen)) {
      held_ = std::string(rest.substr(kOpen.size()));
      state_ = Begins::kThinking;
    } else if (!kOpen.starts_with(rest)) {
      state_ = Begins::kSaying;
    }
  }
  if (state_ == Begins::kThinking) think(out);
  if (state_ == Begins::kSaying) say(out);
  return out;
}

void ReasoningSplitter::think(Pieces& out) {
  if (at_start_) held_.erase(0, first_not_space(held_));
  const std::size_t close = held_.find(kClose);
  const std::string_view before =
      std::string_view(held_).substr(0, close == std::string::npos ? mark_begun_at(held_, kClose) : close);
  // White space waits for what follows it: before the end it is dropped.
  const std::string_view sure = without_trailing_space(before);
  out.reasoning = sure;
  if (!sure.empty()) at_start_ = false;
  if (close == std::string::npos) {
    held_.erase(0, sure.size());
    return;
  }
  held_.erase(0, close + kClose.size());
  state_ = Begins::kSaying;
  after_end_ = true;
}

void ReasoningSplitter::say(Pieces& out) {
  if (after_end_) held_.erase(0, first_not_space(held_));
  if (!held_.empty()) after_end_ = false;
  out.content = std::exchange(held_, {});
}

ReasoningSplitter::Pieces ReasoningSplitter::finish() {
  Pieces out;
  std::string rest = std::exchange(held_, {});
  if (state_ == Begins::kThinking) {
    out.reasoning = without_trailing_space(rest);
  } else {
    out.content = std::move(rest);
  }
  return out;
}

}  // namespace sluice
