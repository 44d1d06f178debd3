// The alphabet of byte-level vocabularies: each of the 256 bytes is written as one printable character, so
// that token texts are printable strings. Printable Latin-1 characters stand for themselves; the other bytes
// take the characters from U+0100 on, in order.
//
// Pure functions: safe for concurrent use.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

// Appends the bytes that `text` stands for. False if one of its characters is not of the alphabet; `bytes` is
// then as it was.
bool append_bytes_of_alphabet(std::string_view text, std::string& bytes);
// The other way: appends how such a vocabulary writes `bytes`.
void append_in_alphabet(std::string_view bytes, std::string& text);

}  // namespace sluice
