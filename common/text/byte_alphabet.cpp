#include "common/text/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "common/text/unicode.h"

namespace sluice {
namespace {

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

// Code point to byte; -1 for what is not in the alphabet.
constexpr std::size_t kCodes = 0x100 + 68;  // 68 bytes don't stand for themselves.
constexpr std::array<std::int16_t, kCodes> make_table() {
  std::array<std::int16_t, kCodes> table{};
  table.fill(-1);
  std::size_t next = 0x100;
  for (unsigned byte = 0; byte < 0x100; ++byte) {
    table[stands_for_itself(byte) ? byte : next++] = static_cast<std::int16_t>(byte);
  }
  return table;
}
constexpr std::array<std::int16_t, kCodes> kByteOf = make_table();
constexpr std::array<std::uint16_t, 0x100> make_other_table() {
  std::array<std::uint16_t, 0x100> table{};
  for (std::size_t code = 0; code < kCodes; ++code) {
    if (kByteOf[code] >= 0) table[static_cast<std::size_t>(kByteOf[code])] = static_cast<std::uint16_t>(code);
  }
  return table;
}
constexpr std::array<std::uint16_t, 0x100> kCodeOf = make_other_table();

}  // namespace

bool append_bytes_of_alphabet(std::string_view text, std::string& bytes) {
  const std::size_t before = bytes.size();
  for (std::size_t at = 0; at < text.size();) {
    const DecodedChar next = utf8_decode(text, at);
    if (!next.valid || next.code >= kCodes || kByteOf[next.code] < 0) {
      bytes.resize(before);
      return false;
    }
    bytes += static_cast<char>(kByteOf[next.code]);
    at += next.bytes;
  }
  return true;
}

void append_in_alphabet(std::string_view bytes, std::string& text) {
  for (const char c : bytes) {
    const unsigned code = kCodeOf[static_cast<unsigned char>(c)];
    if (code < 0x80) {
      text += static_cast<char>(code);
      continue;
    }
    text += static_cast<char>(0xC0 | (code >> 6));  // The alphabet ends before what takes three bytes.
    text += static_cast<char>(0x80 | (code & 0x3F));
  }
}

}  // namespace sluice
