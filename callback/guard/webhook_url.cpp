#include "callback/guard/webhook_url.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace sluice::callback {

namespace {

constexpr std::size_t kHostBytesMax = 255;

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using UrlPtr = std::unique_ptr<CURLU, FreeUrl>;

struct FreeText {
  void operator()(char* text) const { curl_free(text); }
};

// Empty: the URL has no such part.
std::string part(CURLU* url, CURLUPart what, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, what, &text, flags) != CURLUE_OK) return {};
  const std::unique_ptr<char, FreeText> owned(text);
  return text;
}

void lower(std::string& text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
}

}  // namespace

std::string WebhookUrl::endpoint() const {
  return scheme + "://" + host + ":" + std::to_string(port);
}

Result<WebhookUrl> parse_webhook_url(const std::string& url) {
  if (url.size() > kUrlBytesMax) return fail(ErrorCode::kInvalid, "the URL is longer than 2,048 bytes");
  const bool is_plain = std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (!is_plain) return fail(ErrorCode::kInvalid, "the URL holds spaces, control or non-ASCII characters");

  const UrlPtr parsed(curl_url());
  if (parsed == nullptr) return fail(ErrorCode::kExhausted, "out of memory");
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(),
                   CURLU_NON_SUPPORT_SCHEME | CURLU_DISALLOW_USER) != CURLUE_OK) {
    return fail(ErrorCode::kInvalid, "not an absolute URL, or one with a user name");
  }
  WebhookUrl out;
  out.scheme = part(parsed.get(), CURLUPART_SCHEME);
  lower(out.scheme);
  if (out.scheme != "http" && out.scheme != "https") {
    return fail(ErrorCode::kInvalid, "the URL's scheme is neither http nor https");
  }
  out.host = part(parsed.get(), CURLUPART_HOST);
  lower(out.host);
  if (out.host.empty() || out.host.size() > kHostBytesMax) {
    return fail(ErrorCode::kInvalid, "the URL has no usable host");
  }
  const std::string port = part(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  const long number = std::strtol(port.c_str(), nullptr, 10);
  if (number < 1 || number > 65535) return fail(ErrorCode::kInvalid, "the URL's port is not 1 to 65535");
  out.port = static_cast<std::uint16_t>(number);
  return out;
}

}  // namespace sluice::callback
