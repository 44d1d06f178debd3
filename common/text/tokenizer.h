// The tokenizer of a model file: byte-level BPE (tokenizer.ggml.model = "gpt2") or SentencePiece's BPE
// ("llama"). Any bytes can be encoded, and decode(encode(bytes)) == bytes wherever the vocabulary has all 256
// single bytes.
//
// Byte level: invalid UTF-8 is cut as U+FFFD would be, and encoded byte by byte. (Where a byte has no token,
// the tokens of U+FFFD stand for it.) SentencePiece: a space is put before text, at the begin and after each
// special token, unless the file says otherwise; decode and text_bytes take it away again, token_bytes
// doesn't. Characters without a piece become bytes (where a byte has no token, the unknown token stands for
// it). U+2581 is how such vocabularies write a space: it comes back as one.
//
// Two kinds of token are matched in the text itself: user-defined ones always, control tokens (<|im_end|>)
// only on request. Of several at one place the longest wins. A user-defined piece of U+2581 alone is a piece
// like any other: no space goes before the text behind it.
//
// Immutable after `load`, safe for concurrent use; keeps nothing of the file it was loaded from.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/text/gguf.h"
#include "common/text/marked_text.h"

namespace sluice {

using TokenId = std::int32_t;

struct EncodeOptions {
  bool add_bos = false;        // Begin with the file's bos token, if it has one.
  bool parse_special = false;  // Recognise control tokens.
};

class Tokenizer {
 public:
  // kInvalid: a kind of tokenizer or a pre-tokenizer that isn't supported, named. kNotFound: the file has no
  // vocabulary. kCorrupt: one that contradicts itself.
  static Result<Tokenizer> load(const GgufFile& file);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  std::vector<TokenId> encode(std::string_view text, EncodeOptions options = {}) const;
  // As `encode`, but control tokens are recognised where the text is trusted, and only there: a control token
  // that has one untrusted byte is plain text. Where no control token stands, the marks make no difference.
  std::vector<TokenId> encode(const MarkedText& text, bool add_bos) const;
  // How many tokens `encode` gives.
  std::size_t count(std::string_view text, EncodeOptions options = {}) const;

  // The bytes of all tokens in a row; may be invalid UTF-8 (see Utf8Stream). Control tokens are left out
  // unless asked for; ids out of range always are.
  std::string decode(std::span<const TokenId> ids, bool with_control = false) const;
  // The raw bytes of one token, for streaming; of a control token its text. Empty if out of range. Valid
  // while the tokenizer lives.
  std::string_view token_bytes(TokenId id) const;
  // What a token says in a text, behind the token `before` (none: it begins the text): its bytes without the
  // space that encoding put there. decode() is the sum of these.
  std::string_view text_bytes(TokenId id, std::optional<TokenId> before) const;
  // The id of a token that is matched in the text by its text, or of any other by its bytes.
  std::optional<TokenId> find(std::string_view bytes) const;

  std::size_t vocab_size() const;
  const std::string& pre_tokenizer() const;  // As the file names it.
  bool is_control(TokenId id) const;
  // Whether generation is over with this token: eos, eot, or a control token known to end a turn.
  bool is_end(TokenId id) const;
  std::span<const TokenId> end_ids() const;  // Ascending.
  std::optional<TokenId> bos() const;
  std::optional<TokenId> eos() const;
  std::optional<TokenId> eot() const;  // End of turn: as the file says, or by its name.
  std::optional<TokenId> pad() const;
  bool add_bos() const;  // Whether the file wants a bos token before a prompt without template.

 private:
  struct State;
  class Loader;
  explicit Tokenizer(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

}  // namespace sluice
