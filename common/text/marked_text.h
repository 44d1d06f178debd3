// Text that remembers where it came from: trusted bytes are those of the chat template (and of the model
// file), the rest came from a request. Special tokens are recognised in trusted bytes only, so that nobody
// can forge the end of a turn by writing its token into a message.
//
// A value type; not safe for concurrent use while it is changed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

class MarkedText {
 public:
  MarkedText() = default;
  MarkedText(std::string_view text, bool trusted) { append(text, trusted); }

  const std::string& text() const { return text_; }
  std::size_t size() const { return text_.size(); }
  bool empty() const { return text_.empty(); }

  void append(std::string_view text, bool trusted);
  void append(const MarkedText& other) { append(other, 0, other.size()); }
  // The bytes [from, from + count) of `other`.
  void append(const MarkedText& other, std::size_t from, std::size_t count);
  MarkedText substr(std::size_t from, std::size_t count) const;

  // Whether every byte of [from, to) is trusted. True for an empty range.
  bool trusted(std::size_t from, std::size_t to) const;
  // Whether any byte at all is from a request.
  bool any_untrusted() const { return !trusted(0, size()); }

  // The maximal stretches of one origin, in order.
  struct Run {
    std::size_t end;  // Where it ends; it begins where the one before ends.
    bool trusted;
  };
  const std::vector<Run>& runs() const { return runs_; }

 private:
  std::size_t run_at(std::size_t position) const;

  std::string text_;
  std::vector<Run> runs_;
};

}  // namespace sluice
