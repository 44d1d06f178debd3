// Text to read with a model, from a file: to measure how well it is predicted, or what activations it causes.
//
// A name that ends in .jsonl means JSON lines: each has messages and, if there is one, the expected answer;
// or a text under "prompt" or "text". Anything else is plain text, cut into windows.
#pragma once

#include <cstddef>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/text/model_file.h"

namespace sluice::engine_cli {

// Tokens that are computed together, from position 0 on.
struct TextPiece {
  std::vector<TokenId> ids;
  std::size_t answer_from = 0;  // Where the answer begins in a conversation that has one; else 0.
};

struct TextFileOptions {
  std::size_t window = 512;  // Tokens of a piece at most; what is left over at the end of a text is a shorter
                             // piece. Conversations that are longer are refused.
  bool parse_special = false;   // Recognise special tokens in plain text.
  bool drop_rest = false;       // Leave out what is left over behind the whole pieces of a text.
  bool begin_with_bos = false;  // Each piece of a text begins with the bos token, if the model wants one.
};

// Calls `take` with each line that isn't blank. kNotFound, kUnavailable: the file can't be read. kInvalid: a
// line is no JSON object, `take` refused it or couldn't find what it wanted (nlohmann::json::exception); the
// message names it.
Status for_each_json_line(const std::string& path, const std::function<Status(const nlohmann::json&)>& take);
// The messages of such a line. Throws as nlohmann::json does if they don't fit.
std::vector<ChatMessage> messages_of(const nlohmann::json& line);

// kNotFound, kUnavailable: the file can't be read. kInvalid: a line doesn't fit (it is named), or there is no
// text.
Result<std::vector<TextPiece>> read_text_file(const ModelText& model, const std::string& path,
                                              const TextFileOptions& options);

}  // namespace sluice::engine_cli
