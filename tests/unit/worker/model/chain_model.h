// A model that says what a test wants: behind each token it knows one token that comes next. What it computes
// is trivial; its vocabulary and its template are the test's own.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace sluice::testmodel {

struct ChainToken {
  std::string text;       // As the file has it: "Ċ" is a line feed at byte level, "▁" a space in pieces.
  std::int32_t type = 1;  // tokenizer.ggml.token_type
  float score = 0.0F;     // Of pieces.
};

struct ChainModel {
  bool pieces = false;             // SentencePiece's kind of vocabulary; else byte level, without merges.
  std::vector<ChainToken> tokens;  // At most 64, no text twice.
  std::string eos;                 // The text of one of them.
  std::string chat_template;
  // Behind the first comes the second; behind a token that isn't named here comes the last of all tokens.
  std::vector<std::pair<std::string, std::string>> next;

  // Aborts the test's process if the file can't be written, or a text is not a token's.
  void write(const std::string& path) const;
};

}  // namespace sluice::testmodel
