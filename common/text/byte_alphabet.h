// The alphabet of byte-level vocabularies: each of the 256 bytes is written as one printable character, so
// that token texts are printable strings. Printable Latin-1 characters stand for themselves; the other bytes
// take the characters from U+0100 on, in order.
//
// Pure functions: safe for concurrent use.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sluice {

// The bytes that `text` stands for; empty if one of its characters is not of the alphabet.
std::optional<std::string> bytes_of_alphabet(std::string_view text);

}  // namespace sluice
