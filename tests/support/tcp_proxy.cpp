#include "tests/support/tcp_proxy.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "common/base/check.h"

namespace sluice::testing {

namespace {

constexpr int kPollMs = 20;
constexpr std::size_t kKept = 64;

sockaddr_in loopback(const std::string& host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  inet_pton(AF_INET, host.c_str(), &address.sin_addr);
  return address;
}

bool send_all(int socket, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t sent = send(socket, data, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    data += sent;
    size -= static_cast<std::size_t>(sent);
  }
  return true;
}

}  // namespace

struct TcpProxy::Link {
  int client = -1;
  int server = -1;
  std::thread thread;
  std::atomic<bool> over{false};
  ~Link() {
    if (thread.joinable()) thread.join();
    if (client >= 0) close(client);
    if (server >= 0) close(server);
  }
};

TcpProxy::TcpProxy(std::string host, int port) : host_(std::move(host)), target_port_(port) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback("127.0.0.1", 0);
  SLUICE_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  SLUICE_CHECK(listen(listener_, 128) == 0);
  socklen_t size = sizeof address;
  SLUICE_CHECK(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port_ = ntohs(address.sin_port);
  accepting_ = std::thread([this] { accept_loop(); });
}

TcpProxy::~TcpProxy() {
  stopping_ = true;
  broken_ = true;
  accepting_.join();
  close(listener_);
  links_.clear();
}

void TcpProxy::cut() {
  broken_ = true;
  std::list<std::unique_ptr<Link>> ending;
  {
    std::lock_guard lock(mutex_);
    ending.swap(links_);
  }
  ending.clear();  // Each ends within a poll, and is joined.
}

void TcpProxy::mend() {
  swallowed_ = false;
  broken_ = false;
}

void TcpProxy::swallow_answer(std::string before, std::string text, bool then_cut) {
  std::lock_guard lock(mutex_);
  swallowed_ = false;
  before_ = std::move(before);
  text_ = std::move(text);
  then_cut_ = then_cut;
}

bool TcpProxy::is_marked(const std::string& seen, bool& before_seen) {
  std::lock_guard lock(mutex_);
  if (text_.empty()) {
    before_seen = false;
    return false;
  }
  before_seen = before_seen || seen.find(before_) != std::string::npos;
  if (!before_seen || seen.find(text_) == std::string::npos) return false;
  text_.clear();
  return true;
}

void TcpProxy::accept_loop() {
  while (!stopping_) {
    pollfd waiting{listener_, POLLIN, 0};
    if (poll(&waiting, 1, kPollMs) <= 0) continue;
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    if (broken_) {
      // A reset rather than a polite end.
      const linger now{1, 0};
      setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof now);
      close(client);
      continue;
    }
    auto link = std::make_unique<Link>();
    link->client = client;
    link->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = loopback(host_, target_port_);
    if (connect(link->server, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) continue;
    Link& made = *link;
    std::lock_guard lock(mutex_);
    links_.remove_if([](const auto& old) { return old->over.load(); });  // They take no lock any more.
    links_.push_back(std::move(link));
    made.thread = std::thread([this, &made] { serve(made); });
  }
}

void TcpProxy::serve(Link& link) {
  std::array<char, 65536> buffer{};
  bool deaf = false;  // The server's answers are dropped.
  bool before_seen = false;
  std::string seen;  // The end of what the client sent before, for texts that came in two pieces.
  while (!broken_) {
    pollfd sockets[2] = {{link.client, POLLIN, 0}, {link.server, POLLIN, 0}};
    if (poll(sockets, 2, kPollMs) <= 0) continue;
    if (sockets[0].revents != 0) {
      const ssize_t got = recv(link.client, buffer.data(), buffer.size(), 0);
      if (got <= 0 || !send_all(link.server, buffer.data(), static_cast<std::size_t>(got))) break;
      seen.append(buffer.data(), static_cast<std::size_t>(got));
      deaf = deaf || is_marked(seen, before_seen);
      if (seen.size() > kKept) seen.erase(0, seen.size() - kKept);
    }
    if (sockets[1].revents != 0) {
      const ssize_t got = recv(link.server, buffer.data(), buffer.size(), 0);
      if (got <= 0) break;
      if (deaf) {
        {
          std::lock_guard lock(mutex_);
          if (then_cut_) broken_ = true;
        }
        swallowed_ = true;
        break;
      }
      if (!send_all(link.client, buffer.data(), static_cast<std::size_t>(got))) break;
    }
  }
  shutdown(link.client, SHUT_RDWR);
  shutdown(link.server, SHUT_RDWR);
  link.over = true;
}

}  // namespace sluice::testing
