#include "callback/sender/transfer.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "callback/guard/webhook_url.h"

namespace sluice::callback {

namespace {

// What the store keeps of an answer.
constexpr std::size_t kResponseKept = 4096;

AttemptFailure failure_of(CURLcode code) {
  switch (code) {
    case CURLE_OK:
      return AttemptFailure::kNone;
    case CURLE_OPERATION_TIMEDOUT:
      return AttemptFailure::kTimeout;
    case CURLE_COULDNT_RESOLVE_HOST:
      return AttemptFailure::kResolve;
    case CURLE_URL_MALFORMAT:
      return AttemptFailure::kUnsendable;
    case CURLE_UNSUPPORTED_PROTOCOL:  // Also what an answer that is no HTTP counts as: it may be a passing
                                      // fault.
      return AttemptFailure::kProtocol;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
      return AttemptFailure::kTls;
    case CURLE_COULDNT_CONNECT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
      return AttemptFailure::kConnect;
    default:
      return AttemptFailure::kProtocol;
  }
}

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return text.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), text.begin(),
                                                    [&](char a, char b) { return lower(a) == lower(b); });
}

}  // namespace

Status Transfer::append(ListPtr& list, const std::string& text) {
  curl_slist* longer = curl_slist_append(list.get(), text.c_str());
  if (longer == nullptr) return fail(ErrorCode::kExhausted, "out of memory");
  static_cast<void>(list.release());  // It is the same list, or was empty.
  list.reset(longer);
  return {};
}

Status Transfer::pin(Resolver& resolver) {
  SLUICE_ASSIGN(const WebhookUrl url, parse_webhook_url(request_.url));
  const auto addresses = resolver.addresses(url.host, url.port);
  if (!addresses) return {};
  if (addresses->empty()) return fail(ErrorCode::kNotFound, "the host has no address");
  std::string entry = "+" + url.host + ":" + std::to_string(url.port) + ":";
  for (std::size_t i = 0; i < addresses->size(); ++i) entry += (i == 0 ? "" : ",") + (*addresses)[i];
  return append(pinned_, entry);
}

Status Transfer::prepare(Resolver& resolver) {
  started_ = clock_.steady_now();
  easy_.reset(curl_easy_init());
  if (easy_ == nullptr) return fail(ErrorCode::kExhausted, "out of memory");
  SLUICE_TRY(pin(resolver));
  for (const std::string& header : request_.headers) SLUICE_TRY(append(headers_, header));
  SLUICE_TRY(append(headers_, "Expect:"));  // No 100-continue round trip: few receivers know it.

  CURL* const easy = easy_.get();
  CURLcode worst = CURLE_OK;
  const auto set = [&](CURLoption option, auto value) {
    const CURLcode code = curl_easy_setopt(easy, option, value);
    if (code != CURLE_OK) worst = code;
  };
  set(CURLOPT_URL, request_.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  set(CURLOPT_PROXY, "");  // Whatever the environment says.
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_HTTP09_ALLOWED, 0L);
  set(CURLOPT_POST, 1L);
  set(CURLOPT_POSTFIELDS, request_.body.data());
  set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
  set(CURLOPT_HTTPHEADER, headers_.get());
  set(CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(config_.connect_timeout.count()));
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(config_.total_timeout.count()));
  set(CURLOPT_NOSIGNAL, 1L);
  // A name server that does not answer must not hold up the loop when its transfer times out.
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!config_.tls_ca_file.empty()) set(CURLOPT_CAINFO, config_.tls_ca_file.c_str());
  if (pinned_ != nullptr) set(CURLOPT_RESOLVE, pinned_.get());
  set(CURLOPT_OPENSOCKETFUNCTION, &Transfer::on_socket);
  set(CURLOPT_OPENSOCKETDATA, this);
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(CURLOPT_WRITEDATA, this);
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(CURLOPT_HEADERDATA, this);
  // Never to be passed over in silence: an option that is not set is a guard that is not there.
  if (worst != CURLE_OK) return fail(ErrorCode::kInternal, curl_easy_strerror(worst));
  return {};
}

// The last look before a connection is opened: the address is the real one, however it came about.
curl_socket_t Transfer::on_socket(void* self, curlsocktype, curl_sockaddr* address) {
  Transfer& transfer = *static_cast<Transfer*>(self);
  if (const auto refusal =
          address_refusal(address->addr, static_cast<socklen_t>(address->addrlen), transfer.config_.guard)) {
    transfer.refusal_ = *refusal;
    return CURL_SOCKET_BAD;
  }
  ++transfer.sockets_opened_;
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

std::size_t Transfer::on_header(char* data, std::size_t size, std::size_t count, void* self) {
  Transfer& transfer = *static_cast<Transfer*>(self);
  const std::string_view line(data, size * count);
  transfer.header_bytes_ += line.size();
  if (transfer.header_bytes_ > transfer.config_.header_bytes_max) {
    transfer.header_too_long_ = true;
    return 0;
  }
  constexpr std::string_view kRetryAfter = "retry-after:";
  if (line.starts_with("HTTP/")) {
    transfer.retry_after_.clear();  // An interim answer's fields are not the final one's.
  } else if (starts_with_ignoring_case(line, kRetryAfter)) {
    std::string_view value = line.substr(kRetryAfter.size());
    while (!value.empty() && (value.back() == '\r' || value.back() == '\n')) value.remove_suffix(1);
    transfer.retry_after_ = value.substr(0, 100);
  }
  return line.size();
}

std::size_t Transfer::on_body(char* data, std::size_t size, std::size_t count, void* self) {
  Transfer& transfer = *static_cast<Transfer*>(self);
  const std::size_t bytes = size * count;
  if (transfer.response_.size() < kResponseKept) {
    transfer.response_.append(data, std::min(bytes, kResponseKept - transfer.response_.size()));
  }
  transfer.response_bytes_ += bytes;
  if (transfer.response_bytes_ > transfer.config_.response_bytes_max) {
    transfer.response_cut_ = true;
    return 0;  // Ends the transfer, and its connection with it.
  }
  return bytes;
}

AttemptReport Transfer::report(CURLcode code) const {
  AttemptReport report;
  long status = 0;
  if (curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status >= 200) {
    report.status = static_cast<int>(status);
  }
  report.response = response_;
  report.retry_after = retry_after_;
  // Enough was read: that we stopped is no fault of the receiver's.
  if (response_cut_) code = CURLE_OK;
  report.failure = failure_of(code);
  if (code == CURLE_OK) {
    if (!report.status) {
      report.failure = AttemptFailure::kProtocol;
      report.error = "no final answer";
    } else if (!is_success(report)) {
      report.error = "HTTP status " + std::to_string(*report.status);
    }
    return report;
  }
  if (!refusal_.empty() && sockets_opened_ == 0) {
    report.failure = AttemptFailure::kRefused;
    report.error = "refused: the receiver has a " + std::string(refusal_);
  } else if (header_too_long_) {
    report.failure = AttemptFailure::kProtocol;
    report.error = "the answer's header is too long";
  } else {
    report.error = curl_easy_strerror(code);
  }
  return report;
}

void Transfer::finish(CURLcode code) {
  AttemptReport finished = report(code);
  finished.duration = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.steady_now() - started_);
  done_(std::move(finished));
}

void Transfer::finish(AttemptFailure failure, const std::string& error) {
  AttemptReport finished;
  finished.failure = failure;
  finished.error = error;
  done_(std::move(finished));
}

}  // namespace sluice::callback
