// What producer and worker need to know of a model file to turn requests into token ids: its name, its
// limits, its tokenizer and its chat template. Works on files that hold a vocabulary and no weights.
//
// Immutable after `open`, safe for concurrent use. Nothing of the file stays mapped.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/text/chat_template.h"
#include "common/text/gguf.h"
#include "common/text/tokenizer.h"

namespace sluice {

// Success for a general.architecture that the engine computes. kInvalid: another; the message names it and
// them.
Status check_architecture(std::string_view architecture);

class ModelText {
 public:
  // As GgufFile::open and Tokenizer::load. A chat template that can't be read is no error yet: see
  // chat_template().
  static Result<ModelText> open(const std::string& path);
  static Result<ModelText> from(const GgufFile& file);

  // general.name, else the file's name without its extension.
  const std::string& name() const { return name_; }
  // general.architecture; empty if the file doesn't say.
  const std::string& architecture() const { return architecture_; }
  // Tokens of prompt and answer together; 0 if the file doesn't say.
  std::uint32_t context_length() const { return context_length_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  // kNotFound: the file has none. kInvalid: it uses something unsupported, named.
  const Result<ChatTemplate>& chat_template() const { return chat_template_; }
  // SHA-256, in hex, over the file's size, its whole header and samples of every tensor's data: it differs
  // between any two models that were trained or rounded differently, and needs no reading of gigabytes.
  const std::string& fingerprint() const { return fingerprint_; }

  // The ids of a conversation, through the chat template. Special tokens are recognised in the template's own
  // text only: what the messages say is always plain text. No bos token but the template's own. kInvalid: the
  // template refuses the messages; kNotFound: there is no template.
  Result<std::vector<TokenId>> prompt_ids(const std::vector<ChatMessage>& messages,
                                          bool add_generation_prompt = true) const;
  // The ids of a text without template, with a bos token if the file wants one. `parse_special` only for text
  // that is trusted.
  std::vector<TokenId> raw_prompt_ids(std::string_view text, bool parse_special = false) const;
  // The text behind prompt_ids(messages).
  Result<MarkedText> prompt_text(const std::vector<ChatMessage>& messages,
                                 bool add_generation_prompt = true) const;

 private:
  ModelText(Tokenizer tokenizer, Result<ChatTemplate> chat_template)
      : tokenizer_(std::move(tokenizer)), chat_template_(std::move(chat_template)) {}

  std::string name_;
  std::string architecture_;
  std::uint32_t context_length_ = 0;
  Tokenizer tokenizer_;
  Result<ChatTemplate> chat_template_;
  std::string bos_text_;
  std::string eos_text_;
  std::string fingerprint_;
};

}  // namespace sluice
