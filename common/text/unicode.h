// The little of Unicode that tokenizers and templates need: strict UTF-8, and classes of code points.
//
// Pure functions: safe for concurrent use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

inline constexpr char32_t kReplacementChar = 0xFFFD;

struct DecodedChar {
  char32_t code = kReplacementChar;
  std::uint8_t bytes = 1;
  bool valid = false;
};

// The character at `at` (which must lie inside the text). Whatever is no strict UTF-8 (a stray continuation,
// an overlong form, a surrogate, a sequence cut short) is one byte long, invalid, and stands for U+FFFD.
DecodedChar utf8_decode(std::string_view text, std::size_t at);
void utf8_append(std::string& text, char32_t code);
bool utf8_valid(std::string_view text);
// Characters, each invalid byte counting as one.
std::size_t utf8_length(std::string_view text);

// One line that changes nothing about a terminal: control characters, line ends, bytes that are no UTF-8, and
// invisible or direction-changing characters are spelled out (\n, \x1b, \u{202e}).
std::string safe_text(std::string_view text);

// Bits of char_class().
enum : std::uint8_t {
  kCharLetter = 1,       // L*
  kCharNumber = 2,       // N*
  kCharPunctuation = 4,  // P*
  kCharSymbol = 8,       // S*
  kCharMark = 16,        // M*
  kCharSpace = 32,       // The property White_Space, which is what \s means in tokenizers.
};
std::uint8_t char_class(char32_t code);

// What Python calls whitespace: White_Space and the four separators U+001C to U+001F.
bool is_python_space(char32_t code);
char32_t to_upper(char32_t code);
char32_t to_lower(char32_t code);

}  // namespace sluice
