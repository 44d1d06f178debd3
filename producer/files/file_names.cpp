#include "producer/files/file_names.h"

#include <algorithm>

#include "common/store/file_store.h"
#include "common/text/unicode.h"

namespace sluice::producer {

std::optional<std::string> plain_filename(std::string_view sent) {
  if (const std::size_t slash = sent.find_last_of("/\\"); slash != std::string_view::npos) {
    sent.remove_prefix(slash + 1);
  }
  const bool control = std::any_of(sent.begin(), sent.end(),
                                   [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  if (control || !utf8_valid(sent) || utf8_length(sent) > kFileNameCharactersMax) {
    return std::nullopt;
  }
  if (sent.find_first_not_of(". ") == std::string_view::npos) return "file";
  return std::string(sent);
}

std::string content_disposition(std::string_view filename) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string plain;
  std::string escaped;
  bool same = true;
  for (const char c : filename) {
    const auto byte = static_cast<unsigned char>(c);
    const bool safe = byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\' && c != '%';
    plain += safe ? c : '_';
    same = same && safe;
    const bool attr = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '.' || c == '_' || c == '~';
    if (attr) {
      escaped += c;
    } else {
      escaped += '%';
      escaped += kHex[byte >> 4];
      escaped += kHex[byte & 15];
    }
  }
  std::string header = "attachment; filename=\"" + plain + "\"";
  if (!same) header += "; filename*=UTF-8''" + escaped;
  return header;
}

}  // namespace sluice::producer
