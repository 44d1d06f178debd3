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

}  // namespace sluice
