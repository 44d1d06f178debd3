// Finds the tokens that are matched in the text itself, before any cutting or merging: control tokens (such
// as
// <|im_end|>) and user-defined ones.
//
// Build with `add`, then immutable and safe for concurrent use. Looking at one position costs at most the
// length of the longest such token.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {

class SpecialTokens {
 public:
  // No sane special token is longer; the bound keeps a scan linear.
  static constexpr std::size_t kBytesMax = 256;

  struct Match {
    std::int32_t id;
    std::size_t bytes;
    bool control;  // Recognised on request only, and only in trusted text.
  };

  SpecialTokens();
  // `text` has 1 to kBytesMax bytes. The first id of a text holds.
  void add(std::string_view text, std::int32_t id, bool control);
  bool empty() const { return nodes_.size() == 1; }
  bool has_user_defined() const { return user_defined_; }

  // Every token that begins at `at`, the longest last. Empty for nearly every position.
  template <class F>
  void each_at(std::string_view text, std::size_t at, F found) const {
    if (!first_[static_cast<unsigned char>(text[at])]) return;
    std::size_t node = 0;
    for (std::size_t i = at; i < text.size(); ++i) {
      const auto next = child(node, static_cast<unsigned char>(text[i]));
      if (!next) return;
      node = *next;
      if (nodes_[node].id >= 0) found(Match{nodes_[node].id, i + 1 - at, nodes_[node].control});
    }
  }

 private:
  struct Node {
    std::vector<std::pair<std::uint8_t, std::uint32_t>> children;  // Sorted by byte.
    std::int32_t id = -1;
    bool control = false;
  };
  std::optional<std::size_t> child(std::size_t node, std::uint8_t byte) const;

  std::vector<Node> nodes_;
  std::array<bool, 256> first_{};
  bool user_defined_ = false;
};

}  // namespace sluice
