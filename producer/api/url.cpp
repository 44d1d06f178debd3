#include "producer/api/url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

#include "common/http/message.h"

namespace sluice::producer {

namespace {

bool is_host_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_';
}

bool is_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

bool is_host(std::string_view host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    in6_addr address{};
    return inet_pton(AF_INET6, std::string(host.substr(1, host.size() - 2)).c_str(), &address) == 1;
  }
  return !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), is_host_char);
}

}  // namespace

Status check_callback_url(std::string_view url) {
  if (url.size() > kCallbackUrlBytesMax) {
    return fail(ErrorCode::kInvalid, "must be at most " + std::to_string(kCallbackUrlBytesMax) + " bytes");
  }
  for (const char c : url) {
    if (c <= ' ' || c > '~' || c == '\\') {
      return fail(ErrorCode::kInvalid,
                  "must hold no spaces, control characters, backslashes or unescaped non-ASCII characters");
    }
  }
  const std::size_t scheme_end = url.find("://");
  const std::string_view scheme = url.substr(0, scheme_end);
  if (scheme_end == std::string_view::npos ||
      !(http::equals_ignoring_case(scheme, "http") || http::equals_ignoring_case(scheme, "https"))) {
    return fail(ErrorCode::kInvalid, "must be an absolute http or https URL");
  }
  const std::string_view rest = url.substr(scheme_end + 3);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  if (authority.find('@') != std::string_view::npos) {
    return fail(ErrorCode::kInvalid, "must not hold a user name or password");
  }
  std::string_view host = authority;
  const std::size_t bracket = authority.find(']');
  const std::size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon != std::string_view::npos) {
    host = authority.substr(0, colon);
    if (!is_port(authority.substr(colon + 1))) return fail(ErrorCode::kInvalid, "has a port that is none");
  }
  if (!is_host(host)) return fail(ErrorCode::kInvalid, "must name a host");
  return {};
}

}  // namespace sluice::producer
