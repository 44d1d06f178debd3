#include "common/text/tokenizer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <unordered_map>
#include <utility>

#include "common/text/bpe.h"
#include "common/text/byte_alphabet.h"
#include "common/text/gguf_parse.h"
#include "common/text/pre_tokenizer.h"
#include "common/text/special_tokens.h"

namespace sluice {
namespace {

// tokenizer.ggml.token_type
enum class TokenType : std::int64_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

constexpr std::uint8_t kFlagControl = 1;
constexpr std::uint8_t kFlagEnd = 2;

// Names of tokens that end a turn or a text, in the model families whose files don't always say so.
constexpr std::array<std::string_view, 5> kEndOfTurnNames = {"<|eot_id|>", "<|im_end|>", "<|end|>",
                                                             "<end_of_turn>", "<|eom_id|>"};
constexpr std::array<std::string_view, 5> kEndOfTextNames = {"<|endoftext|>", "<|end_of_text|>", "<|EOT|>",
                                                             "<｜end▁of▁sentence｜>", "</s>"};

// Stretches are cut into pieces at once; longer ones in parts of this size, which bounds memory.
constexpr std::size_t kStretchBytesMax = std::size_t{64} << 20;
constexpr std::size_t kTokensMax = std::size_t{1} << 24;
constexpr std::size_t kSpecialBytesMax = std::size_t{1} << 20;  // Each takes a node of some 50 bytes.
constexpr std::size_t kTextBytesMax = std::size_t{1} << 30;     // Of the whole vocabulary.

}  // namespace

struct Tokenizer::State {
  explicit State(PreTokenizer pre_in, std::size_t merges) : pre(pre_in), merger(merges) {}

  std::string pre_name;
  PreTokenizer pre;
  BpeMerger merger;
  SpecialTokens special;

  // The bytes of all tokens, one after the other.
  std::string bytes;
  std::vector<std::uint32_t> offsets;  // One more than there are tokens.
  std::size_t tokens = 0;
  std::vector<std::uint8_t> flags;
  std::vector<TokenId> by_bytes;        // Normal tokens by their bytes: open addressing, -1 where free.
  std::array<TokenId, 256> byte_ids{};  // -1: no token.
  std::vector<TokenId> replacement;     // The tokens of U+FFFD.

  std::vector<TokenId> ends;
  std::optional<TokenId> bos, eos, eot, pad;
  bool add_bos = false;

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

  void encode_stretch(std::string_view text, std::vector<TokenId>& ids) const;
  void encode_bytes(std::string_view piece, std::vector<TokenId>& ids) const;
  template <class Allowed>
  void encode_text(std::string_view text, bool special_wanted, Allowed allowed,
                   std::vector<TokenId>& ids) const;
};

// Text without any special token in it.
void Tokenizer::State::encode_stretch(std::string_view text, std::vector<TokenId>& ids) const {
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

namespace {

Result<std::optional<TokenId>> id_of_key(const GgufFile& file, std::string_view key, std::size_t tokens) {
  if (!file.has(key)) return std::optional<TokenId>();
  SLUICE_ASSIGN(const std::uint32_t id, file.u32(key));
  if (id >= tokens) {
    return fail(ErrorCode::kCorrupt, std::string(key) + " is " + std::to_string(id) +
                                         ", but the vocabulary has only " + std::to_string(tokens) +
                                         " tokens");
  }
  return std::optional<TokenId>(static_cast<TokenId>(id));
}

}  // namespace

Result<Tokenizer> Tokenizer::load(const GgufFile& file) {
  SLUICE_ASSIGN(const std::string_view model, file.string("tokenizer.ggml.model"));
  if (model != "gpt2") {
    return fail(ErrorCode::kInvalid, "tokenizer model " + gguf_quoted(model) +
                                         " is not supported (only gpt2, byte-level BPE, is)");
  }
  SLUICE_ASSIGN(const std::string_view pre_name, file.string_or("tokenizer.ggml.pre", "default"));
  SLUICE_ASSIGN(const PreTokenizer pre, PreTokenizer::by_name(pre_name));
  SLUICE_ASSIGN(const std::vector<std::string_view> texts, file.strings("tokenizer.ggml.tokens"));
  SLUICE_ASSIGN(const std::vector<std::string_view> merges, file.strings("tokenizer.ggml.merges"));
  std::vector<std::int64_t> types;
  if (file.has("tokenizer.ggml.token_type")) {
    SLUICE_ASSIGN(types, file.ints("tokenizer.ggml.token_type"));
    if (types.size() != texts.size()) {
      return fail(ErrorCode::kCorrupt, "the vocabulary has " + std::to_string(texts.size()) +
                                           " tokens, but " + std::to_string(types.size()) + " token types");
    }
  }
  if (texts.empty()) return fail(ErrorCode::kCorrupt, "the vocabulary is empty");
  if (texts.size() > kTokensMax || merges.size() > kTokensMax) {
    return fail(ErrorCode::kInvalid,
                "the vocabulary has more than " + std::to_string(kTokensMax) + " entries");
  }
  std::size_t text_bytes = 0;
  for (const std::string_view text : texts) text_bytes += text.size();
  for (const std::string_view text : merges) text_bytes += text.size();
  if (text_bytes > kTextBytesMax) return fail(ErrorCode::kInvalid, "the vocabulary is larger than 1 GiB");

  auto state = std::make_unique<State>(pre, merges.size());
  state->pre_name = pre_name;
  state->tokens = texts.size();
  state->flags.resize(texts.size());
  state->bytes.reserve(text_bytes);  // No token's bytes are longer than its text.
  state->offsets.reserve(texts.size() + 1);
  state->offsets.push_back(0);
  state->by_bytes.assign(std::bit_ceil(texts.size() * 2), -1);
  state->byte_ids.fill(-1);
  const auto add_token = [&](std::string_view bytes) {
    state->bytes += bytes;
    state->offsets.push_back(static_cast<std::uint32_t>(state->bytes.size()));
  };

  std::string bytes;
  std::size_t special_bytes = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const auto type = types.empty() ? TokenType::kNormal : static_cast<TokenType>(types[i]);
    const bool control = type == TokenType::kControl || type == TokenType::kUnknown;
    if (control) state->flags[i] |= kFlagControl;
    if (control || type == TokenType::kUserDefined) {
      special_bytes += texts[i].size();
      if (texts[i].size() > SpecialTokens::kBytesMax || special_bytes > kSpecialBytesMax) {
        return fail(ErrorCode::kInvalid, "special token " + std::to_string(i) + " is longer than " +
                                             std::to_string(SpecialTokens::kBytesMax) +
                                             " bytes, or all of them are longer than 1 MiB");
      }
      add_token(texts[i]);
      if (!texts[i].empty()) state->special.add(texts[i], id, control);
      continue;
    }
    if (type == TokenType::kUnused) {
      add_token({});
      continue;
    }
    bytes.clear();
    const bool encodable = append_bytes_of_alphabet(texts[i], bytes) && !bytes.empty();
    // A text outside of the alphabet can be decoded, but no text is ever encoded to it.
    add_token(encodable ? std::string_view(bytes) : texts[i]);
    if (!encodable) continue;
    TokenId& slot = state->by_bytes[state->slot_of(bytes)];
    if (slot < 0) slot = id;
    if (bytes.size() == 1) {
      TokenId& byte_id = state->byte_ids[static_cast<unsigned char>(bytes.front())];
      if (byte_id < 0) byte_id = id;
    }
  }

  // Merges may pass through texts that are no tokens; these get symbols of their own, beyond the vocabulary.
  std::unordered_map<std::string, BpeSymbol> others;
  const auto symbol_of = [&](std::string_view wanted) {
    if (const auto token = state->normal_token(wanted)) return *token;
    return others.try_emplace(std::string(wanted), static_cast<BpeSymbol>(state->tokens + others.size()))
        .first->second;
  };
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    state->merger.set_byte(static_cast<std::uint8_t>(byte), symbol_of(std::string_view(&c, 1)));
  }
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::size_t space = merges[rank].find(' ', 1);
    if (space == std::string_view::npos) {
      return fail(ErrorCode::kCorrupt,
                  "merge " + std::to_string(rank) + " of the vocabulary has no two parts");
    }
    bytes.clear();
    if (!append_bytes_of_alphabet(merges[rank].substr(0, space), bytes)) continue;  // No text can come to it.
    const std::size_t left = bytes.size();
    if (!append_bytes_of_alphabet(merges[rank].substr(space + 1), bytes)) continue;
    if (left == 0 || left == bytes.size()) continue;
    const std::string_view both = bytes;
    state->merger.add_merge(static_cast<std::uint32_t>(rank), symbol_of(both.substr(0, left)),
                            symbol_of(both.substr(left)), symbol_of(both));
  }
  state->encode_stretch("\xEF\xBF\xBD", state->replacement);

  const std::size_t tokens = state->tokens;
  SLUICE_ASSIGN(state->bos, id_of_key(file, "tokenizer.ggml.bos_token_id", tokens));
  SLUICE_ASSIGN(state->eos, id_of_key(file, "tokenizer.ggml.eos_token_id", tokens));
  SLUICE_ASSIGN(state->eot, id_of_key(file, "tokenizer.ggml.eot_token_id", tokens));
  SLUICE_ASSIGN(const std::optional<TokenId> eom, id_of_key(file, "tokenizer.ggml.eom_token_id", tokens));
  SLUICE_ASSIGN(state->pad, id_of_key(file, "tokenizer.ggml.padding_token_id", tokens));
  SLUICE_ASSIGN(state->add_bos,
                file.boolean_or("tokenizer.ggml.add_bos_token", state->pre.add_bos_by_default()));

  const auto mark_end = [&](TokenId id) { state->flags[static_cast<std::size_t>(id)] |= kFlagEnd; };
  const auto special_named = [&](std::string_view name) -> std::optional<TokenId> {
    std::optional<TokenId> id;
    state->special.each_at(name, 0, [&](const SpecialTokens::Match& match) {
      if (match.bytes == name.size()) id = match.id;
    });
    return id;
  };
  for (const std::string_view name : kEndOfTurnNames) {
    if (const auto id = special_named(name)) {
      mark_end(*id);
      if (!state->eot) state->eot = id;
    }
  }
  for (const std::string_view name : kEndOfTextNames) {
    if (const auto id = special_named(name)) mark_end(*id);
  }
  for (const auto& id : {state->eos, state->eot, eom}) {
    if (id) mark_end(*id);
  }
  for (std::size_t i = 0; i < tokens; ++i) {
    if ((state->flags[i] & kFlagEnd) != 0) state->ends.push_back(static_cast<TokenId>(i));
  }
  return Tokenizer(std::move(state));
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
  for (const TokenId id : ids) {
    if (with_control || !is_control(id)) text += token_bytes(id);
  }
  return text;
}

std::string_view Tokenizer::token_bytes(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= state_->tokens) return {};
  return state_->bytes_of(id);
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
  return id >= 0 && static_cast<std::size_t>(id) < state_->tokens &&
         (state_->flags[static_cast<std::size_t>(id)] & kFlagControl) != 0;
}
bool Tokenizer::is_end(TokenId id) const {
  return id >= 0 && static_cast<std::size_t>(id) < state_->tokens &&
         (state_->flags[static_cast<std::size_t>(id)] & kFlagEnd) != 0;
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
