#include "common/http/multipart.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/http/header_scan.h"
#include "common/http/message.h"

namespace sluice::http {

namespace {

constexpr std::size_t kBoundaryBytesMax = 70;  // RFC 2046.
constexpr std::size_t kPaddingBytesMax = 64;

tl::unexpected<Error> bad(std::string message) {
  return fail(ErrorCode::kInvalid, "the form is broken: " + std::move(message));
}

// One `; name=value` off the front of `text`. Senders quote differently: a backslash escapes a quote or a
// backslash only, so that the paths that some put into file names stay what they are.
bool take_parameter(std::string_view& text, std::string_view& name, std::string& value) {
  text = trimmed(text);
  if (!text.starts_with(';')) return false;
  text = trimmed(text.substr(1));
  const std::size_t end =
      static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_token_char) - text.begin());
  name = text.substr(0, end);
  text = trimmed(text.substr(end));
  if (name.empty() || !text.starts_with('=')) return false;
  text = trimmed(text.substr(1));
  value.clear();
  if (!text.starts_with('"')) {
    const std::size_t stop = std::min(text.find(';'), text.size());
    value = trimmed(text.substr(0, stop));
    text.remove_prefix(stop);
    return true;
  }
  for (std::size_t i = 1; i < text.size(); ++i) {
    char c = text[i];
    if (c == '"') {
      text.remove_prefix(i + 1);
      return true;
    }
    if (c == '\\' && i + 1 < text.size() && (text[i + 1] == '"' || text[i + 1] == '\\')) c = text[++i];
    value += c;
  }
  return false;  // The closing quote is missing.
}

// UTF-8''caf%C3%A9 (RFC 8187), which some senders use for names that aren't ASCII.
std::optional<std::string> extended_value(std::string_view text) {
  const std::size_t first = text.find('\'');
  if (first == std::string_view::npos || !equals_ignoring_case(text.substr(0, first), "utf-8")) {
    return std::nullopt;
  }
  const std::size_t second = text.find('\'', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  return percent_decode(text.substr(second + 1), false);
}

}  // namespace

Result<std::string> multipart_boundary(std::string_view content_type) {
  const std::size_t end = std::min(content_type.find(';'), content_type.size());
  if (!equals_ignoring_case(trimmed(content_type.substr(0, end)), "multipart/form-data")) {
    return fail(ErrorCode::kInvalid, "the media type must be multipart/form-data");
  }
  std::string_view rest = content_type.substr(end);
  std::string_view name;
  std::string value;
  while (take_parameter(rest, name, value)) {
    if (!equals_ignoring_case(name, "boundary")) continue;
    const auto allowed = [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
             std::string_view("'()+_,-./:=? ").find(c) != std::string_view::npos;
    };
    const bool followed = !trimmed(rest).empty() && !trimmed(rest).starts_with(';');
    if (followed || value.empty() || value.size() > kBoundaryBytesMax || value.back() == ' ' ||
        !std::all_of(value.begin(), value.end(), allowed)) {
      return fail(ErrorCode::kInvalid, "the boundary of the form is invalid");
    }
    return value;
  }
  return fail(ErrorCode::kInvalid, "the media type names no boundary");
}

MultipartParser::MultipartParser(std::string_view boundary, MultipartForm& form, MultipartLimits limits)
    : delimiter_("\r\n--" + std::string(boundary)), form_(form), limits_(limits) {
  buffer_ = "\r\n";  // The first boundary may stand at the very beginning.
}

Status MultipartParser::push(std::string_view bytes) {
  if (place_ == Place::kEpilogue) return {};
  buffer_.append(bytes);
  for (;;) {
    const Result<bool> went_on = step();
    if (!went_on) return fail(went_on.error());
    if (!*went_on) break;
  }
  buffer_.erase(0, used_);
  used_ = 0;
  return {};
}

Status MultipartParser::finish() const {
  if (place_ != Place::kEpilogue) return bad("it ends before its closing boundary");
  return {};
}

Result<bool> MultipartParser::step() {
  switch (place_) {
    case Place::kPreamble:
    case Place::kContent:
      return find_boundary();
    case Place::kBoundaryEnd:
      return end_boundary();
    case Place::kHeader:
      return read_header_line();
    case Place::kEpilogue:
      used_ = buffer_.size();
      break;
  }
  return false;
}

Result<bool> MultipartParser::find_boundary() {
  const std::string_view text = rest();
  const std::size_t at = text.find(delimiter_);
  std::size_t before = std::min(at, text.size());
  if (at == std::string_view::npos) {
    // All but what may be the beginning of a boundary.
    const std::size_t tail = text.size() - std::min(text.size(), delimiter_.size() - 1);
    before = text.find('\r', tail);
    while (before != std::string_view::npos && !delimiter_.starts_with(text.substr(before))) {
      before = text.find('\r', before + 1);
    }
    before = std::min(before, text.size());
  }
  if (place_ == Place::kContent && before > 0) SLUICE_TRY(content(text.substr(0, before)));
  used_ += before;
  if (at == std::string_view::npos) return false;
  used_ += delimiter_.size();
  if (place_ == Place::kContent) SLUICE_TRY(end_part());
  place_ = Place::kBoundaryEnd;
  return true;
}

Result<bool> MultipartParser::end_boundary() {
  std::string_view text = rest();
  if (text.size() < 2) return false;
  if (text.starts_with("--")) {
    place_ = Place::kEpilogue;
    return true;
  }
  std::size_t padding = text.find_first_not_of(" \t");
  if (padding == std::string_view::npos) padding = text.size();
  if (padding > kPaddingBytesMax) return bad("something stands behind a boundary");
  text.remove_prefix(padding);
  if (text.size() < 2) {
    if (!text.empty() && text[0] != '\r') return bad("something stands behind a boundary");
    return false;
  }
  if (!text.starts_with("\r\n")) return bad("something stands behind a boundary");
  if (++parts_ > limits_.parts_max) {
    return bad("it has more than " + std::to_string(limits_.parts_max) + " parts");
  }
  used_ += padding + 2;
  place_ = Place::kHeader;
  header_bytes_ = 0;
  has_disposition_ = false;
  is_file_ = false;
  part_ = {};
  value_.clear();
  return true;
}

Result<bool> MultipartParser::read_header_line() {
  const std::string_view text = rest();
  const std::size_t end = text.find("\r\n");
  // A CR at the end may be half of the line's end.
  const std::size_t size = std::min(end, text.size() - (text.ends_with('\r') ? 1 : 0));
  if (header_bytes_ + size > limits_.header_bytes_max) return bad("the header of a part is too long");
  if (end == std::string_view::npos) return false;
  header_bytes_ += size + 2;
  used_ += size + 2;
  if (size > 0) {
    SLUICE_TRY(take_header(text.substr(0, size)));
    return true;
  }
  SLUICE_TRY(begin_part());
  place_ = Place::kContent;
  return true;
}

Status MultipartParser::take_header(std::string_view line) {
  const bool clean = std::none_of(line.begin(), line.end(), [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
  });
  const std::size_t colon = line.find(':');
  if (!clean || colon == std::string_view::npos || colon == 0 ||
      !std::all_of(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(colon), is_token_char)) {
    return bad("a part has an invalid header line");
  }
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (equals_ignoring_case(name, "Content-Type")) {
    part_.content_type = value;
    return {};
  }
  if (equals_ignoring_case(name, "Content-Transfer-Encoding")) {
    for (const std::string_view plain : {"7bit", "8bit", "binary"}) {
      if (equals_ignoring_case(value, plain)) return {};
    }
    return bad("a part has an encoding, which forms don't have");
  }
  if (!equals_ignoring_case(name, "Content-Disposition")) return {};
  if (has_disposition_) return bad("a part has two dispositions");
  const std::size_t end = std::min(value.find(';'), value.size());
  if (!equals_ignoring_case(trimmed(value.substr(0, end)), "form-data")) {
    return bad("a part's disposition isn't form-data");
  }
  std::string_view parameters = value.substr(end);
  std::string_view key;
  std::string text;
  std::optional<std::string> extended;
  bool named = false;
  while (take_parameter(parameters, key, text)) {
    if (equals_ignoring_case(key, "name")) {
      named = true;
      part_.name = text;
    } else if (equals_ignoring_case(key, "filename")) {
      is_file_ = true;
      part_.filename = text;
    } else if (equals_ignoring_case(key, "filename*")) {
      extended = extended_value(text);
    }
  }
  if (!trimmed(parameters).empty() && trimmed(parameters) != ";")
    return bad("a part has an invalid disposition");
  if (!named) return bad("a part has no name");
  if (extended && !is_file_) {
    is_file_ = true;
    part_.filename = std::move(*extended);
  }
  has_disposition_ = true;
  return {};
}

Status MultipartParser::begin_part() {
  if (!has_disposition_) return bad("a part has no name");
  return is_file_ ? form_.on_file(part_) : Status{};
}

Status MultipartParser::content(std::string_view bytes) {
  if (is_file_) return form_.on_file_bytes(bytes);
  if (value_.size() + bytes.size() > limits_.field_bytes_max) {
    return bad("a field has more than " + std::to_string(limits_.field_bytes_max) + " bytes");
  }
  value_ += bytes;
  return {};
}

Status MultipartParser::end_part() {
  return is_file_ ? form_.on_file_end() : form_.on_field(part_.name, value_);
}

}  // namespace sluice::http
