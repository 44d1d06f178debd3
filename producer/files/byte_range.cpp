#include "producer/files/byte_range.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace sluice::producer {

namespace {

// Digits only. One that is too large for us lies behind every file.
std::optional<std::uint64_t> position(std::string_view text) {
  const bool digits =
      !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? value : UINT64_MAX;
}

// What is asked for, its length cut at the file's end; length 0: nothing is there. Empty: no single range.
std::optional<ByteRange> read_range(std::string_view header, std::uint64_t size) {
  constexpr std::string_view kUnit = "bytes=";
  header = http::trimmed(header);
  if (header.size() < kUnit.size() || !http::equals_ignoring_case(header.substr(0, kUnit.size()), kUnit)) {
    return std::nullopt;
  }
  const std::string_view range = http::trimmed(header.substr(kUnit.size()));
  const std::size_t dash = range.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const std::string_view first_text = range.substr(0, dash);
  const std::string_view last_text = range.substr(dash + 1);
  if (first_text.empty()) {
    const auto suffix = position(last_text);
    if (!suffix) return std::nullopt;
    const std::uint64_t length = std::min(*suffix, size);
    return ByteRange{size - length, length};
  }
  const auto first = position(first_text);
  const auto last = last_text.empty() ? std::optional(UINT64_MAX) : position(last_text);
  if (!first || !last || *last < *first) return std::nullopt;
  if (*first >= size) return ByteRange{*first, 0};
  return ByteRange{*first, std::min(*last, size - 1) - *first + 1};
}

}  // namespace

RangeAnswer choose_range(const http::RequestHead& head, std::uint64_t size, const std::string& etag) {
  RangeAnswer answer;
  answer.range.length = size;
  const auto header = head.headers.get("Range");
  if (!header || head.method != http::Method::kGet) return answer;
  const auto version = head.headers.get("If-Range");
  if (version && http::trimmed(*version) != etag) return answer;
  const auto range = read_range(*header, size);
  if (!range) return answer;
  answer.range = *range;
  answer.status = range->length == 0 ? 416 : 206;
  const std::string total = "/" + std::to_string(size);
  answer.header = range->length == 0 ? "bytes *" + total
                                     : "bytes " + std::to_string(range->offset) + "-" +
                                           std::to_string(range->offset + range->length - 1) + total;
  return answer;
}

bool has_version(const http::Headers& headers, const std::string& etag) {
  const auto header = headers.get("If-None-Match");
  if (!header) return false;
  if (http::trimmed(*header) == "*") return true;
  // Our tags hold no comma.
  for (std::string_view rest = *header; !rest.empty();) {
    const std::size_t comma = rest.find(',');
    std::string_view one = http::trimmed(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == etag) return true;
  }
  return false;
}

}  // namespace sluice::producer
