// What a Tokenizer consists of, shared by the file that loads it and the file that uses it; nobody else
// includes this.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/text/bpe.h"
#include "common/text/pre_tokenizer.h"
#include "common/text/score_merger.h"
#include "common/text/special_tokens.h"
#include "common/text/tokenizer.h"

namespace sluice {

inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581, how pieces write a space.

// Appends `text` with each mark as the space that it stands for.
inline void append_with_spaces(std::string_view text, std::string& spaced) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t mark = std::min(text.find(kSpaceMark, at), text.size());
    spaced.append(text, at, mark - at);
    if (mark == text.size()) return;
    spaced += ' ';
    at = mark + kSpaceMark.size();
  }
}

struct Tokenizer::State {
  // How text without special tokens becomes ids.
  enum class Kind {
    kByteLevel,  // Cut into pieces, bytes merged by rank.
    kPieces,     // SentencePiece: characters merged by score, bytes for what is no piece.
  };
  static constexpr std::uint8_t kFlagControl = 1;
  static constexpr std::uint8_t kFlagEnd = 2;
  static constexpr std::uint8_t kFlagSpecial = 4;  // Control or user-defined: matched in the text itself.
  static constexpr std::uint8_t kFlagUnused = 8;   // Of pieces: merged through, never emitted.

  State(Kind kind_in, PreTokenizer pre_in, std::size_t merges) : kind(kind_in), pre(pre_in), merger(merges) {}

  Kind kind;
  std::string pre_name;
  PreTokenizer pre;
  BpeMerger merger;
  SpecialTokens special;

  // Pieces only.
  std::vector<float> scores;
  std::size_t piece_bytes_max = 0;   // The longest that text can become.
  bool space_prefix = false;         // A space goes before text at the begin and after special tokens.
  bool spaces_begin_pieces = false;  // No piece has a space after another character: text may be cut there.

  // The bytes of all tokens, one after the other.
  std::string bytes;
  std::vector<std::uint32_t> offsets;  // One more than there are tokens.
  std::size_t tokens = 0;
  std::vector<std::uint8_t> flags;
  std::vector<TokenId> by_bytes;        // Normal tokens by their bytes: open addressing, -1 where free.
  std::array<TokenId, 256> byte_ids{};  // -1: no token.
  std::vector<TokenId> replacement;     // What stands for a byte that has no token.

  std::vector<TokenId> ends;
  std::optional<TokenId> bos, eos, eot, pad;
  bool add_bos = false;

  bool flagged(TokenId id, std::uint8_t flag) const {
    return (flags[static_cast<std::size_t>(id)] & flag) != 0;
  }
  std::string_view bytes_of(TokenId id) const {
    const auto i = static_cast<std::size_t>(id);
    return std::string_view(bytes).substr(offsets[i], offsets[i + 1] - offsets[i]);
  }
  // Where a token of these bytes is, or would go.
  std::size_t slot_of(std::string_view wanted) const {
    const std::size_t mask = by_bytes.size() - 1;
    std::size_t slot = std::hash<std::string_view>()(wanted) & mask;
    while (by_bytes[slot] >= 0 && bytes_of(by_bytes[slot]) != wanted) slot = (slot + 1) & mask;
    return slot;
  }
  std::optional<TokenId> normal_token(std::string_view wanted) const {
    const TokenId id = by_bytes[slot_of(wanted)];
    return id < 0 ? std::nullopt : std::optional<TokenId>(id);
  }

  // Text between special tokens.
  void encode_stretch(std::string_view text, std::vector<TokenId>& ids) const;
  void encode_byte_level(std::string_view text, std::vector<TokenId>& ids) const;
  void encode_pieces(std::string_view text, std::vector<TokenId>& ids) const;
  void encode_bytes(std::string_view piece, std::vector<TokenId>& ids) const;
  template <class Allowed>
  void encode_text(std::string_view text, bool special_wanted, Allowed allowed,
                   std::vector<TokenId>& ids) const;
};

}  // namespace sluice
