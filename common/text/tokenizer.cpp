#include "common/text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "common/text/tokenizer_state.h"

namespace sluice {
namespace {

// Stretches are cut into pieces at once; longer ones in parts of this size, which bounds memory.
constexpr std::size_t kStretchBytesMax = std::size_t{64} << 20;
// The same for text that is merged as one piece, at some 40 bytes a byte.
constexpr std::size_t kUncutBytesMax = std::size_t{4} << 20;

}  // namespace

void Tokenizer::State::encode_stretch(std::string_view text, std::vector<TokenId>& ids) const {
  if (kind == Kind::kPieces) return encode_pieces(text, ids);
  encode_byte_level(text, ids);
}

// Word by word where no piece reaches from one word into the next; nothing is merged across such a place.
void Tokenizer::State::encode_pieces(std::string_view text, std::vector<TokenId>& ids) const {
  if (text.empty()) return;
  std::string spaced;
  spaced.reserve(text.size() + 1);
  if (space_prefix) spaced += ' ';
  append_with_spaces(text, spaced);  // In such a vocabulary U+2581 is a space, whoever writes it.
  const ScoreMerger::Find find = [this](std::string_view wanted) -> ScoreMerger::Piece {
    const TokenId id = by_bytes[slot_of(wanted)];
    if (id < 0) return {};
    return {id, scores[static_cast<std::size_t>(id)], !flagged(id, kFlagUnused)};
  };
  std::vector<ScoreMerger::Part> parts;
  for (std::size_t begin = 0; begin < spaced.size();) {
    std::size_t end = std::min(spaced.size(), begin + kUncutBytesMax);
    for (std::size_t i = begin + 1; spaces_begin_pieces && i < end; ++i) {
      if (spaced[i] == ' ' && spaced[i - 1] != ' ') end = i;
    }
    const std::string_view now = std::string_view(spaced).substr(begin, end - begin);
    begin = end;
    parts.clear();
    ScoreMerger::merge(now, find, piece_bytes_max, parts);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const std::size_t part_end = i + 1 < parts.size() ? parts[i + 1].begin : now.size();
      if (parts[i].id >= 0) {
        ids.push_back(parts[i].id);
      } else {
        encode_bytes(now.substr(parts[i].begin, part_end - parts[i].begin), ids);
      }
    }
  }
}

void Tokenizer::State::encode_byte_level(std::string_view text, std::vector<TokenId>& ids) const {
  std::vector<std::size_t> ends_of_pieces;
  BpeMerger::Scratch scratch;
  std::vector<BpeMerger::Part> parts;
  while (!text.empty()) {
    const std::string_view now = text.substr(0, kStretchBytesMax);
    text.remove_prefix(now.size());
    pre.split(now, ends_of_pieces);
    std::size_t begin = 0;
    for (const std::size_t end : ends_of_pieces) {
      const std::string_view piece = now.substr(begin, end - begin);
      begin = end;
      if (pre.whole_pieces_first()) {
        if (const auto whole = normal_token(piece)) {
          ids.push_back(*whole);
          continue;
        }
      }
      parts.clear();
      merger.merge(piece, scratch, parts);
      for (std::size_t i = 0; i < parts.size(); ++i) {
        if (static_cast<std::size_t>(parts[i].symbol) < tokens) {
          ids.push_back(parts[i].symbol);
          continue;
        }
        const std::size_t part_end = i + 1 < parts.size() ? parts[i + 1].begin : piece.size();
        encode_bytes(piece.substr(parts[i].begin, part_end - parts[i].begin), ids);
      }
    }
  }
}

// Byte by byte: for what merging left over that is no token.
void Tokenizer::State::encode_bytes(std::string_view piece, std::vector<TokenId>& ids) const {
  for (const char c : piece) {
    const TokenId id = byte_ids[static_cast<unsigned char>(c)];
    if (id >= 0) {
      ids.push_back(id);
    } else {
      ids.insert(ids.end(), replacement.begin(), replacement.end());
    }
  }
}

// `allowed(from, to)`: whether a control token may be recognised there.
template <class Allowed>
void Tokenizer::State::encode_text(std::string_view text, bool special_wanted, Allowed allowed,
                                   std::vector<TokenId>& ids) const {
  if (!special_wanted && !special.has_user_defined()) return encode_stretch(text, ids);
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    std::optional<SpecialTokens::Match> longest;
    special.each_at(text, at, [&](const SpecialTokens::Match& match) {
      if (!match.control || allowed(at, at + match.bytes)) longest = match;
    });
    if (!longest) {
      ++at;
      continue;
    }
    encode_stretch(text.substr(begin, at - begin), ids);
    ids.push_back(longest->id);
    begin = at = at + longest->bytes;
  }
  encode_stretch(text.substr(begin), ids);
}

Tokenizer::Tokenizer(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<TokenId> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  std::vector<TokenId> ids;
  if (options.add_bos && state_->bos) ids.push_back(*state_->bos);
  state_->encode_text(
      text, options.parse_special, [&](std::size_t, std::size_t) { return options.parse_special; }, ids);
  return ids;
}

std::vector<TokenId> Tokenizer::encode(const MarkedText& text, bool add_bos) const {
  std::vector<TokenId> ids;
  if (add_bos && state_->bos) ids.push_back(*state_->bos);
  state_->encode_text(
      text.text(), true, [&](std::size_t from, std::size_t to) { return text.trusted(from, to); }, ids);
  return ids;
}

std::size_t Tokenizer::count(std::string_view text, EncodeOptions options) const {
  return encode(text, options).size();
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool with_control) const {
  std::string text;
  std::optional<TokenId> before;
  for (const TokenId id : ids) {
    if (id < 0 || static_cast<std::size_t>(id) >= state_->tokens) continue;
    if (with_control || !is_control(id)) text += text_bytes(id, before);
    before = id;
  }
  return text;
}

std::string_view Tokenizer::token_bytes(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= state_->tokens) return {};
  return state_->bytes_of(id);
}

std::string_view Tokenizer::text_bytes(TokenId id, std::optional<TokenId> before) const {
  std::string_view bytes = token_bytes(id);
  if (!state_->space_prefix || !bytes.starts_with(' ') || state_->flagged(id, State::kFlagSpecial))
    return bytes;
  if (!before || state_->flagged(*before, State::kFlagSpecial)) bytes.remove_prefix(1);
  return bytes;
}

std::optional<TokenId> Tokenizer::find(std::string_view bytes) const {
  if (bytes.empty()) return std::nullopt;
  std::optional<TokenId> id;
  state_->special.each_at(bytes, 0, [&](const SpecialTokens::Match& match) {
    if (match.bytes == bytes.size()) id = match.id;
  });
  if (id) return id;
  return state_->normal_token(bytes);
}

std::size_t Tokenizer::vocab_size() const {
  return state_->tokens;
}
const std::string& Tokenizer::pre_tokenizer() const {
  return state_->pre_name;
}

bool Tokenizer::is_control(TokenId id) const {
  return id >= 0 && static_cast<std::size_t>(id) < state_->tokens && state_->flagged(id, State::kFlagControl);
}
bool Tokenizer::is_end(TokenId id) const {
  return id >= 0 && static_cast<std::size_t>(id) < state_->tokens && state_->flagged(id, State::kFlagEnd);
}
std::span<const TokenId> Tokenizer::end_ids() const {
  return state_->ends;
}
std::optional<TokenId> Tokenizer::bos() const {
  return state_->bos;
}
std::optional<TokenId> Tokenizer::eos() const {
  return state_->eos;
}
std::optional<TokenId> Tokenizer::eot() const {
  return state_->eot;
}
std::optional<TokenId> Tokenizer::pad() const {
  return state_->pad;
}
bool Tokenizer::add_bos() const {
  return state_->add_bos;
}

}  // namespace sluice
