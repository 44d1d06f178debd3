// Splits an answer into what the model thinks (`<think>…</think>` at its beginning) and what it says. Text
// comes in pieces; what may turn out to be a mark is held back until that is settled. White space around the
// thoughts belongs to neither part. A later `<think>` is text like any other.
//
// Not safe for concurrent use: one for each sequence.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

class ReasoningSplitter {
 public:
  enum class Begins {
    kSaying,    // Nothing is split.
    kEither,    // It thinks if `<think>` comes first.
    kThinking,  // The prompt ends with an open `<think>` already.
  };
  struct Pieces {
    std::string reasoning;
    std::string content;
  };

  static constexpr std::string_view kOpen = "<think>";
  static constexpr std::string_view kClose = "</think>";

  explicit ReasoningSplitter(Begins begins) : state_(begins) {}

  Pieces push(std::string_view text);
  // No more text will come: what was held back.
  Pieces finish();
  // Whether what comes next is, as far as one can tell, thought.
  bool thinking() const { return state_ == Begins::kThinking; }

 private:
  void think(Pieces& out);
  void say(Pieces& out);

  Begins state_;
  bool at_start_ = true;    // Of the thoughts.
  bool after_end_ = false;  // Of the thoughts, and nothing has been said yet.
  std::string held_;
};

}  // namespace sluice
