#include "common/http/response_head.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "common/http/header_scan.h"

namespace sluice::http {

namespace {

// "Sun, 06 Nov 1994 08:49:37 GMT". Made once a second and thread; never by strftime, which speaks the
// locale's language.
std::string_view http_date(WallTime now) {
  constexpr std::array<const char*, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<const char*, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  thread_local std::time_t made_for = -1;
  thread_local std::array<char, 64> text{};
  thread_local std::size_t size = 0;
  const std::time_t seconds = unix_seconds(now);
  if (seconds != made_for) {
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    const int written = std::snprintf(text.data(), text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                                      kDays[static_cast<std::size_t>(parts.tm_wday)], parts.tm_mday,
                                      kMonths[static_cast<std::size_t>(parts.tm_mon)], parts.tm_year + 1900,
                                      parts.tm_hour, parts.tm_min, parts.tm_sec);
    size = static_cast<std::size_t>(std::max(written, 0));
    made_for = seconds;
  }
  return {text.data(), size};
}

bool is_clean(const Headers::Field& field) {
  const auto in_value = [](char c) { return (c >= 0x20 && c < 0x7f) || c == '\t'; };
  return !field.first.empty() && std::all_of(field.first.begin(), field.first.end(), is_token_char) &&
         std::all_of(field.second.begin(), field.second.end(), in_value);
}

bool is_ours(std::string_view name) {
  constexpr std::array<std::string_view, 6> kOurs{"Content-Length", "Connection",   "Transfer-Encoding",
                                                  "Date",           "X-Request-Id", "Keep-Alive"};
  return std::any_of(kOurs.begin(), kOurs.end(),
                     [name](std::string_view ours) { return equals_ignoring_case(name, ours); });
}

}  // namespace

int append_response_head(const Response& response, const ResponseHead& head, std::string& out) {
  int left_out = 0;
  out.append("HTTP/1.1 ").append(std::to_string(response.status)).append(" ");
  out.append(status_reason(response.status)).append("\r\nDate: ").append(http_date(head.now));
  if (response.status != 204 && response.status != 304) {
    if (head.content_length) out.append("\r\nContent-Length: ").append(std::to_string(*head.content_length));
    if (head.chunked) out.append("\r\nTransfer-Encoding: chunked");
  }
  if (!head.request_id.empty()) out.append("\r\nX-Request-Id: ").append(head.request_id);
  for (const Headers::Field& field : response.headers) {
    if (is_ours(field.first)) continue;
    if (!is_clean(field)) {
      ++left_out;
      continue;
    }
    out.append("\r\n").append(field.first).append(": ").append(field.second);
  }
  out.append(head.close ? "\r\nConnection: close\r\n\r\n" : "\r\n\r\n");
  return left_out;
}

}  // namespace sluice::http
