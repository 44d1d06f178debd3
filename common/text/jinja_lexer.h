// Cuts the source of a chat template into tokens, with whitespace handled as the usual renderer of chat
// templates does (trim_blocks and lstrip_blocks on, one trailing newline of the source dropped). Internal to
// this folder.
//
// A pure function: safe for concurrent use.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace sluice::jinja {

struct Position {
  std::uint32_t line = 1;
  std::uint32_t column = 1;  // In bytes.
};

enum class TokenKind {
  kText,         // Literal text between tags.
  kOutputBegin,  // {{
  kOutputEnd,    // }}
  kTagBegin,     // {%
  kTagEnd,       // %}
  kName,
  kString,  // `text` is what it means, escapes resolved.
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  Position at;
};

// Ten times the longest template seen; a parsed template takes some hundred bytes for each of its source.
inline constexpr std::size_t kSourceBytesMax = std::size_t{256} << 10;

// The last token is kEnd. kInvalid: with line and column.
Result<std::vector<Token>> lex(std::string_view source);

// "line 3, column 7: message"
tl::unexpected<Error> error_at(Position at, std::string_view message);

}  // namespace sluice::jinja
