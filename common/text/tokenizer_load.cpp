// Reads a vocabulary of either kind out of a file.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <unordered_map>
#include <utility>

#include "common/text/byte_alphabet.h"
#include "common/text/gguf_parse.h"
#include "common/text/tokenizer_state.h"

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

// Names of tokens that end a turn or a text, in the model families whose files don't always say so.
constexpr std::array<std::string_view, 5> kEndOfTurnNames = {"<|eot_id|>", "<|im_end|>", "<|end|>",
                                                             "<end_of_turn>", "<|eom_id|>"};
constexpr std::array<std::string_view, 5> kEndOfTextNames = {"<|endoftext|>", "<|end_of_text|>", "<|EOT|>",
                                                             "<｜end▁of▁sentence｜>", "</s>"};

constexpr std::size_t kTokensMax = std::size_t{1} << 24;
constexpr std::size_t kSpecialBytesMax = std::size_t{1} << 20;  // Each takes a node of some 50 bytes.
constexpr std::size_t kTextBytesMax = std::size_t{1} << 30;     // Of the whole vocabulary.
constexpr std::size_t kPieceBytesMax = 1024;                    // Longer ones can be decoded only.

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

// As the file has it, sizes checked.
struct Vocabulary {
  std::vector<std::string_view> texts;
  std::vector<std::string_view> merges;  // Byte level only.
  std::vector<float> scores;             // Pieces only.
  std::vector<std::int64_t> types;       // Empty: all normal.
  std::size_t text_bytes = 0;

  TokenType type(std::size_t id) const {
    return types.empty() ? TokenType::kNormal : static_cast<TokenType>(types[id]);
  }
};

Result<Vocabulary> read_vocabulary(const GgufFile& file, bool pieces) {
  Vocabulary vocabulary;
  SLUICE_ASSIGN(vocabulary.texts, file.strings("tokenizer.ggml.tokens"));
  const std::size_t tokens = vocabulary.texts.size();
  const auto one_for_each = [&](std::size_t count, const char* what) -> Status {
    if (count == tokens) return {};
    return fail(ErrorCode::kCorrupt, "the vocabulary has " + std::to_string(tokens) + " tokens, but " +
                                         std::to_string(count) + " " + what);
  };
  if (pieces) {
    SLUICE_ASSIGN(vocabulary.scores, file.floats("tokenizer.ggml.scores"));
    SLUICE_TRY(one_for_each(vocabulary.scores.size(), "scores"));
    for (const float score : vocabulary.scores) {
      if (!std::isfinite(score)) return fail(ErrorCode::kCorrupt, "a score of the vocabulary is not finite");
    }
  } else {
    SLUICE_ASSIGN(vocabulary.merges, file.strings("tokenizer.ggml.merges"));
  }
  if (file.has("tokenizer.ggml.token_type")) {
    SLUICE_ASSIGN(vocabulary.types, file.ints("tokenizer.ggml.token_type"));
    SLUICE_TRY(one_for_each(vocabulary.types.size(), "token types"));
  }
  if (tokens == 0) return fail(ErrorCode::kCorrupt, "the vocabulary is empty");
  if (tokens > kTokensMax || vocabulary.merges.size() > kTokensMax) {
    return fail(ErrorCode::kInvalid,
                "the vocabulary has more than " + std::to_string(kTokensMax) + " entries");
  }
  for (const std::string_view text : vocabulary.texts) vocabulary.text_bytes += text.size();
  std::size_t text_bytes = vocabulary.text_bytes;
  for (const std::string_view text : vocabulary.merges) text_bytes += text.size();
  if (text_bytes > kTextBytesMax) return fail(ErrorCode::kInvalid, "the vocabulary is larger than 1 GiB");
  return vocabulary;
}

// "<0x0A>": the token of one byte.
std::optional<std::uint8_t> byte_of(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>') return std::nullopt;
  unsigned value = 0;
  for (const char c : text.substr(3, 2)) {
    const bool digit = c >= '0' && c <= '9';
    const bool letter = (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
    if (!digit && !letter) return std::nullopt;
    value = value * 16 + static_cast<unsigned>(digit ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return static_cast<std::uint8_t>(value);
}

// Whether it is nothing but marks of spaces, and at least one.
bool is_space_marks(std::string_view text) {
  if (text.empty() || text.size() % kSpaceMark.size() != 0) return false;
  for (std::size_t at = 0; at < text.size(); at += kSpaceMark.size()) {
    if (!text.substr(at).starts_with(kSpaceMark)) return false;
  }
  return true;
}

bool has_space_inside(std::string_view bytes) {
  for (std::size_t i = 1; i < bytes.size(); ++i) {
    if (bytes[i] == ' ' && bytes[i - 1] != ' ') return true;
  }
  return false;
}

}  // namespace

// Fills a State token by token.
class Tokenizer::Loader {
 public:
  Loader(State& state, const Vocabulary& vocabulary) : state_(state), vocabulary_(vocabulary) {}

  Status tokens() {
    const std::size_t count = vocabulary_.texts.size();
    const bool pieces = state_.kind == State::Kind::kPieces;
    state_.tokens = count;
    state_.flags.resize(count);
    state_.bytes.reserve(vocabulary_.text_bytes);  // No token's bytes are longer than its text.
    state_.offsets.reserve(count + 1);
    state_.offsets.push_back(0);
    state_.by_bytes.assign(std::bit_ceil(count * 2), -1);
    state_.byte_ids.fill(-1);
    state_.spaces_begin_pieces = true;
    for (std::size_t i = 0; i < count; ++i) {
      const TokenType type = vocabulary_.type(i);
      const std::string_view text = vocabulary_.texts[i];
      if (pieces && type == TokenType::kUserDefined && is_space_marks(text)) {
        // "▁▁" never stands in a text as it is written: merging finds it, like any other piece. Were it
        // special, the text behind it would seem to begin anew, with a space that nobody put there.
        piece(i, text, TokenType::kNormal);
      } else if (type == TokenType::kControl || type == TokenType::kUnknown ||
                 type == TokenType::kUserDefined) {
        SLUICE_TRY(special(i, text, type != TokenType::kUserDefined));
      } else if (pieces) {
        piece(i, text, type);
      } else {
        byte_level(i, text, type);
      }
    }
    return {};
  }

  // Merges may pass through texts that are no tokens; these get symbols of their own, beyond the vocabulary.
  Status merges() {
    std::unordered_map<std::string, BpeSymbol> others;
    const auto symbol_of = [&](std::string_view wanted) {
      if (const auto token = state_.normal_token(wanted)) return *token;
      return others.try_emplace(std::string(wanted), static_cast<BpeSymbol>(state_.tokens + others.size()))
          .first->second;
    };
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const char c = static_cast<char>(byte);
      state_.merger.set_byte(static_cast<std::uint8_t>(byte), symbol_of(std::string_view(&c, 1)));
    }
    std::string bytes;
    for (std::size_t rank = 0; rank < vocabulary_.merges.size(); ++rank) {
      const std::string_view merge = vocabulary_.merges[rank];
      const std::size_t space = merge.find(' ', 1);
      if (space == std::string_view::npos) {
        return fail(ErrorCode::kCorrupt,
                    "merge " + std::to_string(rank) + " of the vocabulary has no two parts");
      }
      bytes.clear();
      if (!append_bytes_of_alphabet(merge.substr(0, space), bytes)) continue;  // No text can come to it.
      const std::size_t left = bytes.size();
      if (!append_bytes_of_alphabet(merge.substr(space + 1), bytes)) continue;
      if (left == 0 || left == bytes.size()) continue;
      const std::string_view both = bytes;
      state_.merger.add_merge(static_cast<std::uint32_t>(rank), symbol_of(both.substr(0, left)),
                              symbol_of(both.substr(left)), symbol_of(both));
    }
    return {};
  }

  Status ids(const GgufFile& file) {
    const bool pieces = state_.kind == State::Kind::kPieces;
    const std::size_t tokens = state_.tokens;
    SLUICE_ASSIGN(state_.bos, id_of_key(file, "tokenizer.ggml.bos_token_id", tokens));
    SLUICE_ASSIGN(state_.eos, id_of_key(file, "tokenizer.ggml.eos_token_id", tokens));
    SLUICE_ASSIGN(state_.eot, id_of_key(file, "tokenizer.ggml.eot_token_id", tokens));
    SLUICE_ASSIGN(const std::optional<TokenId> eom, id_of_key(file, "tokenizer.ggml.eom_token_id", tokens));
    SLUICE_ASSIGN(state_.pad, id_of_key(file, "tokenizer.ggml.padding_token_id", tokens));
    if (pieces) {
      // Where the file doesn't say, the places that SentencePiece gives them.
      if (!state_.bos && tokens > 1) state_.bos = 1;
      if (!state_.eos && tokens > 2) state_.eos = 2;
    }
    SLUICE_ASSIGN(state_.add_bos,
                  file.boolean_or("tokenizer.ggml.add_bos_token", pieces || state_.pre.add_bos_by_default()));
    mark_ends(eom);
    return {};
  }

 private:
  void add(std::string_view bytes) {
    state_.bytes += bytes;
    state_.offsets.push_back(static_cast<std::uint32_t>(state_.bytes.size()));
  }

  // The token may come out of text: the first one of its bytes does. Its bytes are added already.
  void encodable(std::size_t i, std::string_view bytes) {
    TokenId& slot = state_.by_bytes[state_.slot_of(bytes)];
    if (slot < 0) slot = static_cast<TokenId>(i);
  }

  Status special(std::size_t i, std::string_view text, bool control) {
    state_.flags[i] |= State::kFlagSpecial;
    if (control) state_.flags[i] |= State::kFlagControl;
    special_bytes_ += text.size();
    if (text.size() > SpecialTokens::kBytesMax || special_bytes_ > kSpecialBytesMax) {
      return fail(ErrorCode::kInvalid, "special token " + std::to_string(i) + " is longer than " +
                                           std::to_string(SpecialTokens::kBytesMax) +
                                           " bytes, or all of them are longer than 1 MiB");
    }
    if (!text.empty()) state_.special.add(text, static_cast<TokenId>(i), control);
    // Not encodable by merging, too: what an id stands for must not depend on how the text came to it.
    bytes_.clear();
    if (!control && state_.kind == State::Kind::kPieces) {
      append_with_spaces(text, bytes_);
    } else {
      bytes_ = text;
    }
    add(bytes_);
    return {};
  }

  void byte_level(std::size_t i, std::string_view text, TokenType type) {
    if (type == TokenType::kUnused) return add({});
    bytes_.clear();
    const bool known = append_bytes_of_alphabet(text, bytes_) && !bytes_.empty();
    // A text outside of the alphabet can be decoded, but no text is ever encoded to it.
    add(known ? std::string_view(bytes_) : text);
    if (!known) return;
    encodable(i, bytes_);
    if (bytes_.size() == 1) one_byte(i, static_cast<std::uint8_t>(bytes_.front()));
  }

  void piece(std::size_t i, std::string_view text, TokenType type) {
    if (type == TokenType::kByte) {
      const auto byte = byte_of(text);
      bytes_ = byte ? std::string(1, static_cast<char>(*byte)) : std::string(text);
      add(bytes_);
      if (byte) one_byte(i, *byte);
      return;
    }
    bytes_.clear();
    append_with_spaces(text, bytes_);
    add(bytes_);
    if (bytes_.empty() || bytes_.size() > kPieceBytesMax) return;
    if (type == TokenType::kUnused) state_.flags[i] |= State::kFlagUnused;
    encodable(i, bytes_);
    state_.piece_bytes_max = std::max(state_.piece_bytes_max, bytes_.size());
    if (has_space_inside(bytes_)) state_.spaces_begin_pieces = false;
  }

  void one_byte(std::size_t i, std::uint8_t byte) {
    TokenId& id = state_.byte_ids[byte];
    if (id < 0) id = static_cast<TokenId>(i);
  }

  void mark_ends(const std::optional<TokenId>& eom) {
    const auto mark = [&](TokenId id) { state_.flags[static_cast<std::size_t>(id)] |= State::kFlagEnd; };
    const auto special_named = [&](std::string_view name) -> std::optional<TokenId> {
      std::optional<TokenId> id;
      state_.special.each_at(name, 0, [&](const SpecialTokens::Match& match) {
        if (match.bytes == name.size()) id = match.id;
      });
      return id;
    };
    for (const std::string_view name : kEndOfTurnNames) {
      if (const auto id = special_named(name)) {
        mark(*id);
        if (!state_.eot) state_.eot = id;
      }
    }
    for (const std::string_view name : kEndOfTextNames) {
      if (const auto id = special_named(name)) mark(*id);
    }
    for (const auto& id : {state_.eos, state_.eot, eom}) {
      if (id) mark(*id);
    }
    for (std::size_t i = 0; i < state_.tokens; ++i) {
      const auto id = static_cast<TokenId>(i);
      if (state_.flagged(id, State::kFlagEnd)) state_.ends.push_back(id);
    }
  }

  State& state_;
  const Vocabulary& vocabulary_;
  std::string bytes_;
  std::size_t special_bytes_ = 0;
};

Result<Tokenizer> Tokenizer::load(const GgufFile& file) {
  SLUICE_ASSIGN(const std::string_view model, file.string("tokenizer.ggml.model"));
  if (model != "gpt2" && model != "llama") {
    return fail(ErrorCode::kInvalid,
                "tokenizer model " + gguf_quoted(model) +
                    " is not supported (gpt2, byte-level BPE, and llama, SentencePiece's BPE, are)");
  }
  const bool pieces = model == "llama";
  SLUICE_ASSIGN(const std::string_view pre_name, file.string_or("tokenizer.ggml.pre", "default"));
  // Pieces are cut nowhere before merging: what the file says about it is of no effect.
  SLUICE_ASSIGN(const PreTokenizer pre, PreTokenizer::by_name(pieces ? "default" : pre_name));
  SLUICE_ASSIGN(Vocabulary vocabulary, read_vocabulary(file, pieces));
  auto state = std::make_unique<State>(pieces ? State::Kind::kPieces : State::Kind::kByteLevel, pre,
                                       vocabulary.merges.size());
  state->pre_name = pre_name;
  Loader loader(*state, vocabulary);
  SLUICE_TRY(loader.tokens());
  if (pieces) {
    state->scores = std::move(vocabulary.scores);
    SLUICE_ASSIGN(state->space_prefix, file.boolean_or("tokenizer.ggml.add_space_prefix", true));
    SLUICE_ASSIGN(auto unknown, id_of_key(file, "tokenizer.ggml.unknown_token_id", state->tokens));
    state->replacement.push_back(unknown.value_or(0));
  } else {
    SLUICE_TRY(loader.merges());
    state->encode_stretch("\xEF\xBF\xBD", state->replacement);
  }
  SLUICE_TRY(loader.ids(file));
  return Tokenizer(std::move(state));
}

}  // namespace sluice
