#include "common/http/head.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <charconv>
#include <limits>

#include "common/http/header_scan.h"

namespace sluice::http {

namespace {

namespace beast_http = boost::beast::http;

// Takes the fields out of Beast's parser as it finds them. Only ever given a complete header, so none of its
// body callbacks is reached.
class HeadParser final : public beast_http::basic_parser<true> {
 public:
  explicit HeadParser(RequestHead& head) : head_(head) {}

  std::string_view method;
  int version = 0;

 private:
  using string_view = boost::beast::string_view;
  using error_code = boost::beast::error_code;

  void on_request_impl(beast_http::verb, string_view method_text, string_view target, int http_version,
                       error_code&) override {
    method = {method_text.data(), method_text.size()};
    version = http_version;
    head_.target.assign(target.data(), target.size());
  }
  void on_response_impl(int, string_view, int, error_code&) override {}
  void on_field_impl(beast_http::field, string_view name, string_view value, error_code&) override {
    head_.headers.add(std::string(name.data(), name.size()), std::string(value.data(), value.size()));
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(string_view, error_code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view, error_code&) override { return 0; }
  void on_finish_impl(error_code&) override {}

  RequestHead& head_;
};

bool refuse(Refusal& refusal, int status, std::string_view code, std::string_view message) {
  refusal = {status, code, std::string(message)};
  return false;
}

bool list_contains(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (equals_ignoring_case(trimmed(list.substr(0, comma)), word)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

// The fields that decide where this request ends and what it is about, counted in one pass.
struct Framers {
  std::string_view content_length;
  std::string_view transfer_encoding;
  std::string_view host;
  std::string_view expect;
  int content_lengths = 0;
  int transfer_encodings = 0;
  int hosts = 0;
  bool close = false;
};

Framers find_framers(const Headers& headers) {
  Framers framers;
  for (const auto& [name, value] : headers) {
    if (equals_ignoring_case(name, "Content-Length")) {
      framers.content_length = value;
      ++framers.content_lengths;
    } else if (equals_ignoring_case(name, "Transfer-Encoding")) {
      framers.transfer_encoding = value;
      ++framers.transfer_encodings;
    } else if (equals_ignoring_case(name, "Host")) {
      framers.host = value;
      ++framers.hosts;
    } else if (equals_ignoring_case(name, "Expect")) {
      framers.expect = value;
    } else if (equals_ignoring_case(name, "Connection")) {
      framers.close = framers.close || list_contains(value, "close");
    }
  }
  return framers;
}

bool is_host(std::string_view host) {
  const auto allowed = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("-._~%:[]").find(c) != std::string_view::npos;
  };
  return !host.empty() && std::all_of(host.begin(), host.end(), allowed);
}

bool check_host(const Framers& framers, const Framing& framing, Refusal& refusal) {
  if (framers.hosts > 1) return refuse(refusal, 400, "bad_host", "the request has several Host fields");
  if (framers.hosts == 0 && framing.http11)
    return refuse(refusal, 400, "bad_host", "the request has no Host field");
  if (framers.hosts == 1 && !is_host(framers.host))
    return refuse(refusal, 400, "bad_host", "Host is no host name");
  return true;
}

bool check_body(const Framers& framers, ParsedHead& parsed, Refusal& refusal) {
  if (framers.transfer_encodings > 0) {
    if (framers.content_lengths > 0) {
      return refuse(refusal, 400, "length_and_encoding",
                    "Content-Length and Transfer-Encoding must not stand together");
    }
    if (!parsed.framing.http11) {
      return refuse(refusal, 400, "bad_transfer_encoding", "HTTP/1.0 knows no Transfer-Encoding");
    }
    if (framers.transfer_encodings > 1 || framers.transfer_encoding.empty()) {
      return refuse(refusal, 400, "bad_transfer_encoding", "Transfer-Encoding must be given once");
    }
    if (!equals_ignoring_case(framers.transfer_encoding, "chunked")) {
      return refuse(refusal, 501, "unknown_transfer_encoding", "the only known Transfer-Encoding is chunked");
    }
    parsed.framing.chunked = true;
    parsed.head.has_body = true;
    return true;
  }
  if (framers.content_lengths == 0) return true;
  if (framers.content_lengths > 1) {
    return refuse(refusal, 400, "bad_content_length", "the request has several Content-Length fields");
  }
  // from_chars takes digits only, no sign, no space, and reports overflow.
  const std::string_view digits = framers.content_length;
  std::uint64_t length = 0;
  const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (fault != std::errc() || end != digits.data() + digits.size()) {
    return refuse(refusal, 400, "bad_content_length", "Content-Length must be one number");
  }
  parsed.head.content_length = length;
  parsed.head.has_body = length > 0;
  return true;
}

// Splits the target into path and query. Forms: "/path?query", "http://host/path?query", and "*" for OPTIONS.
bool read_target(ParsedHead& parsed, Refusal& refusal) {
  RequestHead& head = parsed.head;
  const auto bad = [&refusal](std::string_view why) { return refuse(refusal, 400, "bad_target", why); };
  std::string_view rest = head.target;
  if (rest == "*") {
    if (head.method != Method::kOptions) return bad("only OPTIONS has the target *");
    parsed.options_for_server = true;
    head.path = "*";
    return true;
  }
  if (rest.find('#') != std::string_view::npos) return bad("the request target must not have a fragment");
  if (!rest.starts_with('/')) {
    // The absolute form is meant for proxies, yet every server must take it. Its host wins over Host, and
    // neither matters here: there is one site only.
    const std::size_t colon = rest.find("://");
    if (colon == std::string_view::npos) return bad("the request target must be a path");
    const std::string_view scheme = rest.substr(0, colon);
    if (!equals_ignoring_case(scheme, "http") && !equals_ignoring_case(scheme, "https")) {
      return bad("the request target must be a path or an http address");
    }
    rest.remove_prefix(colon + 3);
    const std::size_t host_end = std::min(rest.find_first_of("/?"), rest.size());
    if (!is_host(rest.substr(0, host_end))) return bad("the request target has no valid host");
    rest.remove_prefix(host_end);
  }
  const std::size_t question = std::min(rest.find('?'), rest.size());
  head.path = rest.substr(0, question);
  if (head.path.empty()) head.path = "/";
  if (!percent_decode(head.path, false)) return bad("the path has a broken escape or an encoded NUL");

  std::string_view query = rest.substr(std::min(question + 1, rest.size()));
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    std::optional<std::string> name = percent_decode(pair.substr(0, equals), true);
    std::optional<std::string> value = percent_decode(pair.substr(std::min(equals + 1, pair.size())), true);
    if (!name || !value) return bad("the query has a broken escape or an encoded NUL");
    head.query.emplace_back(std::move(*name), std::move(*value));
  }
  return true;
}

}  // namespace

bool parse_head(std::string_view header, ParsedHead& parsed, Refusal& refusal) {
  HeadParser parser(parsed.head);
  parser.header_limit(static_cast<std::uint32_t>(header.size() + 1));
  // Routes have their own limits. (None at all would refuse every body: 1.74 compares with the empty
  // optional.)
  parser.body_limit(std::numeric_limits<std::uint64_t>::max());
  boost::beast::error_code fault;
  const std::size_t used = parser.put(boost::asio::const_buffer(header.data(), header.size()), fault);
  if (fault) {
    switch (static_cast<beast_http::error>(fault.value())) {
      case beast_http::error::bad_version:
        return refuse(refusal, 505, "bad_version", "the protocol must be HTTP/1.1 or HTTP/1.0");
      case beast_http::error::bad_transfer_encoding:
        return refuse(refusal, 400, "bad_transfer_encoding", "Transfer-Encoding can't be read");
      case beast_http::error::bad_content_length:
        return refuse(refusal, 400, "bad_content_length", "Content-Length can't be read");
      default:
        return refuse(refusal, 400, "bad_header", "the request header can't be read");
    }
  }
  if (!parser.is_header_done() || used != header.size()) {
    return refuse(refusal, 400, "bad_header", "the request header can't be read");
  }
  const std::optional<Method> method = parse_method(parser.method);
  if (!method) return refuse(refusal, 501, "unknown_method", "the method is not known");
  parsed.head.method = *method;

  const Framers framers = find_framers(parsed.head.headers);
  parsed.framing.http11 = parser.version == 11;
  parsed.framing.keep_alive = parsed.framing.http11 && !framers.close;
  if (!check_host(framers, parsed.framing, refusal)) return false;
  if (!check_body(framers, parsed, refusal)) return false;
  if (!framers.expect.empty() && parsed.framing.http11) {
    if (!equals_ignoring_case(framers.expect, "100-continue")) {
      return refuse(refusal, 417, "unknown_expectation", "the only known expectation is 100-continue");
    }
    parsed.framing.expects_continue = true;
  }
  return read_target(parsed, refusal);
}

}  // namespace sluice::http
