#include "raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace sluice::http {

namespace {
constexpr int kWaitMs = 10'000;
}

RawClient::RawClient(std::uint16_t port, int receive_buffer_bytes) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return;
  if (receive_buffer_bytes > 0) {
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(receive_buffer_bytes));
  }
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) close();
}

RawClient::~RawClient() {
  close();
}

RawClient::RawClient(RawClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), ended_(other.ended_), buffer_(std::move(other.buffer_)) {}

void RawClient::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void RawClient::reset() {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  close();
}

void RawClient::shut_down_sending() {
  ::shutdown(fd_, SHUT_WR);
}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

std::size_t RawClient::send_until_blocked(std::string_view bytes) {
  constexpr int kBlockedMs = 100;
  std::size_t all = 0;
  while (all < bytes.size()) {
    pollfd wait{.fd = fd_, .events = POLLOUT, .revents = 0};
    if (::poll(&wait, 1, kBlockedMs) != 1) break;
    const ssize_t sent = ::send(fd_, bytes.data() + all, bytes.size() - all, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent <= 0) break;
    all += static_cast<std::size_t>(sent);
  }
  return all;
}

bool RawClient::fill() {
  if (ended_ || fd_ < 0) return false;
  pollfd wait{.fd = fd_, .events = POLLIN, .revents = 0};
  if (::poll(&wait, 1, kWaitMs) != 1) return false;
  std::array<char, 16384> piece{};
  const ssize_t got = ::recv(fd_, piece.data(), piece.size(), 0);
  if (got <= 0) {
    ended_ = true;
    reset_ = got < 0 && errno == ECONNRESET;
    return false;
  }
  buffer_.append(piece.data(), static_cast<std::size_t>(got));
  return true;
}

bool RawClient::receive_text(std::string_view expected) {
  while (buffer_.size() < expected.size()) {
    if (!fill()) return false;
  }
  if (!buffer_.starts_with(expected)) return false;
  buffer_.erase(0, expected.size());
  return true;
}

bool RawClient::wait_closed(std::string* rest) {
  while (fill()) {
  }
  if (rest != nullptr) *rest = buffer_;
  return ended_;
}

std::optional<RawResponse> RawClient::receive(bool to_head) {
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill()) return std::nullopt;
  }
  RawResponse response;
  if (!buffer_.starts_with("HTTP/1.1 ")) return std::nullopt;
  response.status = std::stoi(buffer_.substr(9, 3));
  std::size_t line = buffer_.find("\r\n") + 2;
  while (line < end + 2) {
    const std::size_t line_end = buffer_.find("\r\n", line);
    const std::size_t colon = buffer_.find(": ", line);
    if (colon == std::string::npos || colon > line_end) return std::nullopt;
    std::string name = buffer_.substr(line, colon - line);
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    response.headers[name] = buffer_.substr(colon + 2, line_end - colon - 2);
    line = line_end + 2;
  }
  buffer_.erase(0, end + 4);
  if (to_head) return response;
  if (response.headers.contains("transfer-encoding")) {
    for (;;) {
      const auto chunk = receive_chunk();
      if (!chunk) return std::nullopt;
      if (chunk->empty()) return response;
      response.body += *chunk;
    }
  }
  const auto length = response.headers.find("content-length");
  if (length == response.headers.end()) return response;
  if (!take(std::stoul(length->second), response.body)) return std::nullopt;
  return response;
}

std::optional<std::string> RawClient::receive_chunk() {
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n")) == std::string::npos) {
    if (!fill()) return std::nullopt;
  }
  const std::size_t size = std::stoul(buffer_.substr(0, end), nullptr, 16);
  buffer_.erase(0, end + 2);
  std::string data;
  if (!take(size, data) || !receive_text("\r\n")) return std::nullopt;
  return data;
}

std::optional<std::string> RawClient::receive_bytes(std::size_t size) {
  std::string bytes;
  if (!take(size, bytes)) return std::nullopt;
  return bytes;
}

bool RawClient::take(std::size_t size, std::string& out) {
  while (buffer_.size() < size) {
    if (!fill()) return false;
  }
  out = buffer_.substr(0, size);
  buffer_.erase(0, size);
  return true;
}

}  // namespace sluice::http
