// The merging of SentencePiece's BPE models ("llama" vocabularies): starting from single characters, the two
// neighbours whose joint piece has the highest score are joined (of equal ones the leftmost), until no
// neighbours make a piece. Unlike BpeMerger's, the order is a property of the pieces, not of pairs.
//
// O(n log n) in the length of the text. A pure function: safe for concurrent use.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace sluice {

class ScoreMerger {
 public:
  struct Piece {
    std::int32_t id = -1;  // -1: no such piece.
    float score = 0.0F;
    bool emitted = true;  // False: may be merged through, but is split again at the end.
  };
  // Where pieces are looked up by their bytes.
  using Find = std::function<Piece(std::string_view)>;

  // What the text consists of in the end: pieces, and characters that are none (id -1), by where each begins.
  struct Part {
    std::int32_t id;
    std::uint32_t begin;
  };

  // Appends to `parts`. `piece_bytes_max`: no piece is longer. The text must be shorter than 2 GiB. An
  // invalid byte is a character by itself.
  static void merge(std::string_view text, const Find& find, std::size_t piece_bytes_max,
                    std::vector<Part>& parts);
};

}  // namespace sluice
