// Reads a receiver's URL with the parser of the library that will call it, so that both see the same host.
//
// Pure; safe for concurrent use.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/result.h"

namespace sluice::callback {

struct WebhookUrl {
  std::string scheme;      // "http" or "https"
  std::string host;        // Lower case; numeric IPv4 in its usual form, IPv6 in brackets.
  std::uint16_t port = 0;  // Also when the URL leaves it out.
  // scheme://host:port, for grouping and for logs. Never holds user, path or query.
  std::string endpoint() const;
};

inline constexpr std::size_t kUrlBytesMax = 2048;
// For a URL that can't be read: its deliveries still get a row, and fail with the reason.
inline constexpr const char* kInvalidEndpoint = "invalid";

// kInvalid: not an absolute http(s) URL, or one with a host that can't be one. The message never repeats the
// URL.
Result<WebhookUrl> parse_webhook_url(const std::string& url);

}  // namespace sluice::callback
