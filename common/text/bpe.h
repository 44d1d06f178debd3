// Byte-pair merging over one piece of text: starting from single bytes, the neighbouring pair of the lowest
// rank is merged (of equal ones the leftmost) until no pair is left that may be.
//
// O(n log n) in the length of the piece. Build with `add_merge`, then immutable and safe for concurrent use;
// a Scratch belongs to one call at a time.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace sluice {

// A symbol is a token, or (from the caller's number on) an intermediate result that is no token of its own.
using BpeSymbol = std::int32_t;

class BpeMerger {
 public:
  struct Scratch {
    struct Node {
      BpeSymbol symbol;
      std::uint32_t begin;  // In the piece.
      std::uint32_t next;
      std::uint32_t previous;
    };
    struct Candidate {
      std::uint32_t rank;
      std::uint32_t node;
      BpeSymbol left;
      BpeSymbol right;
    };
    std::vector<Node> nodes;
    std::vector<Candidate> heap;
    std::vector<std::uint32_t> ranks;
  };

  // What the piece consists of in the end: symbols and where each begins.
  struct Part {
    BpeSymbol symbol;
    std::uint32_t begin;
  };

  explicit BpeMerger(std::size_t merges_expected);

  // Symbol of each single byte.
  void set_byte(std::uint8_t byte, BpeSymbol symbol) { bytes_[byte] = symbol; }
  // The first rank given for a pair holds. `rank` ascends from 0.
  void add_merge(std::uint32_t rank, BpeSymbol left, BpeSymbol right, BpeSymbol result);

  // Appends to `parts`. The piece must be shorter than 4 GiB.
  void merge(std::string_view piece, Scratch& scratch, std::vector<Part>& parts) const;

 private:
  struct Slot {
    std::uint64_t pair;
    std::uint32_t rank;
    BpeSymbol result;
  };

  const Slot* find(BpeSymbol left, BpeSymbol right) const;
  void grow();
  void merge_short(std::string_view piece, Scratch& scratch, std::vector<Part>& parts) const;
  void merge_long(std::string_view piece, Scratch& scratch, std::vector<Part>& parts) const;

  std::array<BpeSymbol, 256> bytes_{};
  std::vector<Slot> slots_;  // Open addressing; a power of two, at most half full.
  std::size_t used_ = 0;
};

}  // namespace sluice
